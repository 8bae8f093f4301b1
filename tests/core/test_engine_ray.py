"""Ray, where it is installed: a real one of this machine's own, with two workers, and a cluster that is there."""

import importlib
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
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
engine_ray = importlib.import_module("stages.core.engine_ray")  # which imports Ray

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


def test_a_ray_that_does_not_start_in_time_is_one_line_and_other_errors_are_as_they_were() -> None:
    timed_out = pytest.raises(HeadwaterError, match=r"^Ray did not start on this machine: it timed out\. Run again")
    with timed_out, engine_ray.Starting():
        raise Exception("it timed\n out.")
    with pytest.raises(ValueError, match="other"), engine_ray.Starting():
        raise ValueError("other")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a cluster that asks for a token, as `ray start` makes it; it ends with the test."""
    # Ray takes 127.0.0.1 for the address by which other machines know this one; its sockets need a short path.
    host, folder = "127.0.0.2", tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    (Path(folder) / "token").write_text(secrets.token_hex(32))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", f"{folder}/token")
    command = f"ray start --head --block --node-ip-address={host} --port={port} --num-cpus=2 --temp-dir={folder}"
    more = "--include-dashboard=false --disable-usage-stats --object-store-memory=80000000"
    program = Path(sys.executable).with_name("ray")
    with (Path(folder) / "log").open("w+") as said:
        process = subprocess.Popen([program, *shlex.split(f"{command} {more}")[1:]], stdout=said, stderr=said)
        try:
            while process.poll() is None and "will now block" not in (Path(folder) / "log").read_text():
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.2)
            assert process.poll() is None, (Path(folder) / "log").read_text()
            yield f"{host}:{port}"
        finally:
            process.terminate()
            process.wait(60)
            shutil.rmtree(folder, ignore_errors=True)


def test_a_document_stage_on_a_cluster_that_is_there_ends_in_the_bytes_of_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: str
) -> None:
    project = Project(tmp_path / "project", monkeypatch, workers=1)
    for archive in write_crawl(tmp_path / "archives", 2, 8):
        shutil.copy(archive, project.folder / "incoming" / "crawl")
    project.build("crawl", "extract")
    local = file_hash(project.folder / "data")
    shutil.rmtree(project.folder / "data" / "extract")
    project.settle(engine="ray", work="other", ray={"address": cluster})
    command = shlex.split(project.stages["extract"]["cmd"])
    done = subprocess.run([sys.executable, *command[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert file_hash(project.folder / "data") == local
    assert len(list((project.folder / "other" / "extract").glob("*/commit.json"))) == 2
    shutil.rmtree(project.folder / "other")
    environment = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    done = subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "set RAY_AUTH_MODE=token" in done.stderr
