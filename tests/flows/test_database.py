"""Studies in a real PostgreSQL, which the tests start: two folders at once, and what refuses in one line."""

import contextlib
import gc
import socket
import threading
from pathlib import Path

import optuna
import pytest

from flows import database
from flows.search import Range, Search
from flows.study import Study
from stages.core.errors import HeadwaterError
from tests.flows.postgresql import PostgreSQL

SEARCH = Search(
    target="train",
    objectives={"train.loss": "minimize"},
    sampler="tpe",
    seed=1,
    trials=6,
    pruning=None,
    repeats=None,
    fixed={},
    parameters={"train.rate": Range(low=0.0, high=1.0, scale="linear")},
)


@pytest.fixture
def server(postgres: PostgreSQL) -> tuple[str, str]:
    """The URL of a database on loopback, and the password that it asks for."""
    pytest.importorskip("pg8000", reason="needs the driver: pip install '.[postgresql]'")
    url = postgres.database("pg8000")
    return f"postgresql://{url.username}@{url.host}:{url.port}/{url.database}", postgres.password


def study(storage: optuna.storages.RDBStorage, owner: str, folder: Path) -> Study:
    """A study as a folder of this name opens it."""
    kept = optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
    made = Study("s", SEARCH, kept, folder, [])
    made.owner = owner
    return made


@pytest.mark.slow
def test_two_folders_work_on_one_study_and_leave_each_other_s_trials_alone(
    server: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, password = server
    monkeypatch.setenv(database.PASSWORD, password)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with contextlib.ExitStack() as stack:
        of = {name: stack.enter_context(database.opened(url)) for name in ("here", "there", "third", "again")}
        here, there = study(of["here"], "here", tmp_path), study(of["there"], "there", tmp_path)
        left = here.draw()
        assert left
        there.reclaim()
        assert there.missing() == 5  # the trial of the other folder counts as under way
        _work_at_once([there, study(of["third"], "third", tmp_path)])
        assert len(there.results()) >= 5

        again = study(of["again"], "here", tmp_path)  # as after a kill
        again.reclaim()
        assert again.missing() <= 1
        if drawn := again.draw():
            assert drawn[1] == left[1]
            again.close(drawn[0], [[0.0]])
        assert again.missing() == 0


def _work_at_once(studies: list[Study]) -> None:
    begun = threading.Barrier(len(studies))

    def work(one: Study) -> None:
        begun.wait()
        while drawn := one.draw():
            one.close(drawn[0], [[float(drawn[1]["train.rate"])]])

    threads = [threading.Thread(target=work, args=(one,)) for one in studies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pg8000 leaves a refused socket open
def test_what_is_wrong_with_a_server_is_one_line_without_the_password(
    server: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(url: str) -> str:
        with pytest.raises(HeadwaterError) as error, database.opened(url):
            pass
        gc.collect()
        assert "\n" not in str(error.value)
        assert "wrong one" not in str(error.value)
        return str(error.value)

    url, password = server
    monkeypatch.setenv(database.PASSWORD, "wrong one")
    assert 'password authentication failed for user "headwater"' in refused(url)
    monkeypatch.setenv(database.PASSWORD, password)
    assert 'database "none" does not exist' in refused(url.rpartition("/")[0] + "/none")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    assert "no such database" in refused(f"postgresql://studies@127.0.0.1:{free}/postgres")


def test_a_url_that_will_not_do_is_refused(tmp_path: Path) -> None:
    for url, message in (
        ("postgresql://me:secret@localhost/s", "leave the password out of the URL, and set PGPASSWORD"),
        ("mysql://me@localhost/s", "studies are kept in SQLite or PostgreSQL"),
        ("nonsense", "nonsense: no such database"),
        (f"sqlite:///{tmp_path}/none/s.db", "unable to open database file"),
    ):
        with pytest.raises(HeadwaterError, match=message) as error, database.opened(url):
            pass
        assert "secret" not in str(error.value)
        assert "\n" not in str(error.value)
