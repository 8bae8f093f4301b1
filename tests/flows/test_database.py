"""Studies in a real PostgreSQL, which the tests start: two folders at once, and what refuses in one line."""

import contextlib
import gc
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from flows import database
from flows.search import Range, Search
from flows.study import Study
from stages.core.errors import HeadwaterError

PASSWORD = "correct horse"
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


def _programs() -> Path | None:
    """The folder with PostgreSQL's own programs, which Debian keeps off the PATH."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL on loopback that asks for a password; the URL of a database in it."""
    pytest.importorskip("pg8000", reason="needs the driver: pip install '.[postgresql]'")
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL on this machine: apt-get install postgresql")
    # It refuses to run as root, who therefore starts it as nobody.
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="postgresql-", ignore_cleanup_errors=True) as folder:
        if nobody:
            os.chown(folder, 65534, 65534)
        secret = Path(folder, "secret")
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        make = [str(programs / "initdb"), "--pgdata", f"{folder}/data", "--username=studies", f"--pwfile={secret}"]
        subprocess.run([*nobody, *make, "--auth=scram-sha-256"], check=True, capture_output=True, cwd=folder)
        options = ["-c", f"unix_socket_directories={folder}", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        command = [str(programs / "postgres"), "-D", f"{folder}/data", "-p", str(port), *options]
        with Path(folder, "log").open("w") as log:
            process = subprocess.Popen([*nobody, *command], cwd=folder, stdout=log, stderr=log)
        try:
            _await(Path(folder, "log"), process)
            yield f"postgresql://studies@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # at SIGTERM it waits for its clients
            process.wait(60)


def _await(log: Path, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        if "ready to accept connections" in log.read_text():
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    raise AssertionError(log.read_text())


def study(storage: optuna.storages.RDBStorage, owner: str, folder: Path) -> Study:
    """A study as a folder of this name opens it."""
    kept = optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
    made = Study("s", SEARCH, kept, folder, [])
    made.owner = owner
    return made


@pytest.mark.slow
def test_two_folders_work_on_one_study_and_leave_each_other_s_trials_alone(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(database.PASSWORD, PASSWORD)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with contextlib.ExitStack() as stack:
        of = {name: stack.enter_context(database.opened(server)) for name in ("here", "there", "third", "again")}
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
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(url: str) -> str:
        with pytest.raises(HeadwaterError) as error, database.opened(url):
            pass
        gc.collect()
        assert "\n" not in str(error.value)
        assert "wrong one" not in str(error.value)
        return str(error.value)

    monkeypatch.setenv(database.PASSWORD, "wrong one")
    assert 'password authentication failed for user "studies"' in refused(server)
    monkeypatch.setenv(database.PASSWORD, PASSWORD)
    assert 'database "none" does not exist' in refused(server.replace("/postgres", "/none"))
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
