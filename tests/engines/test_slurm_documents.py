"""The document stages as job arrays of a real Slurm on two machines."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.core.fingerprint import file_hash
from tests.document_path import Project, write_crawl
from tests.engines.hosts import network
from tests.engines.slurm import Cluster, cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def slurm() -> Iterator[Cluster]:
    with network() as hosts, cluster(hosts) as found:
        yield found


def test_the_document_path_on_two_nodes_ends_in_the_bytes_of_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slurm: Cluster
) -> None:
    project = Project(tmp_path / "project", monkeypatch, workers=1)
    for archive in write_crawl(tmp_path / "archives", 4, 8):
        shutil.copy(archive, project.folder / "incoming" / "crawl")
    project.build("crawl", "decontaminate")
    local = file_hash(project.folder / "data")
    shutil.rmtree(project.folder / "data")
    project.settle(engine="slurm", work="other", slurm={"units_per_task": 2, "memory_gb": 1})
    environment = {**slurm.environment, "HEADWATER_PROFILE": os.environ["HEADWATER_PROFILE"]}
    for stage in ("crawl", "extract", "filter", "dedup", "decontaminate"):
        command = [sys.executable, *shlex.split(project.stages[stage]["cmd"])[1:]]
        slurm.hosts[0].run(command, env=environment, cwd=project.folder, limit=300)
    assert file_hash(project.folder / "data") == local
    for host in slurm.hosts:
        assert "launch task" in (slurm.folder / f"slurmd-{host.name}.log").read_text()
