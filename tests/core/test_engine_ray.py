"""Ray, where it is installed: a real one of this machine's own, with two workers."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.core.errors import HeadwaterError
from stages.core.fingerprint import file_hash
from stages.core.shards import Unit, build
from tests.core.test_engines import die, settle, shards_of, upper
from tests.core.test_engines import units as units
from tests.document_path import Project, write_crawl

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own warnings are Ray's


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    yield
    ray.shutdown()


def test_two_ray_workers_make_the_bytes_of_one_local_process(profile: Path, units: list[Unit]) -> None:
    local = build(upper, "!", units, label="stage")
    expected = shards_of(profile)
    settle(engine="ray", workers=2, work=str(profile.with_name("other")))
    built = build(upper, "!", units, label="stage")
    assert [one.metrics for one in built] == [one.metrics for one in local]
    assert shards_of(profile.with_name("other")) == expected


def test_the_document_path_on_two_ray_workers_ends_in_the_bytes_of_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path / "project", monkeypatch, workers=1)
    for archive in write_crawl(tmp_path / "archives", 4, 16):
        shutil.copy(archive, project.folder / "incoming" / "crawl")
    project.build("crawl", "decontaminate")
    local = file_hash(project.folder / "data")
    shutil.rmtree(project.folder / "data")
    project.settle(engine="ray", workers=2, work="other")
    project.build("crawl", "decontaminate")
    assert file_hash(project.folder / "data") == local


def test_what_fails_under_ray_is_one_clear_line_and_loses_nothing_finished(profile: Path, units: list[Unit]) -> None:
    settle(engine="ray", workers=1)
    units[4].inputs[0].write_text("refuse")
    with pytest.raises(HeadwaterError, match=r"^this file is refused$"):
        build(upper, "!", units, label="stage")
    finished = shards_of(profile)
    with pytest.raises(HeadwaterError, match=r"a worker process was killed.*finished shards are kept"):
        build(die, None, units, label="dead")
    settle(engine="local")
    units[4].inputs[0].write_text("eee")
    build(upper, "!", units, label="stage")
    assert finished.items() <= shards_of(profile).items()
