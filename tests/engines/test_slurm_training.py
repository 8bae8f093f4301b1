"""Training by the job script that the planner prints, on two nodes of a real Slurm that takes them away."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.training.planning import launch
from tests.engines import training
from tests.engines.hosts import network
from tests.engines.slurm import Cluster, cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture
def slurm() -> Iterator[Cluster]:
    with network() as hosts, cluster(hosts) as found:
        yield found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return training.undisturbed(tmp_path_factory.mktemp("whole") / "project")


@pytest.mark.parametrize("taken", ["time is over", "requeued", "preempted", "a node cut off"])
def test_a_job_that_is_taken_away_is_queued_again_and_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slurm: Cluster, undisturbed: dict[str, bytes], taken: str
) -> None:
    folder = tmp_path / "project"
    job, log = submitted(folder, monkeypatch, slurm)
    if taken == "time is over":  # as Slurm does by itself, --signal=B:TERM@600, ten minutes before
        slurm.run("scancel", "--batch", "--signal=TERM", job)
    elif taken == "requeued":
        slurm.run("scontrol", "requeue", job)
    elif taken == "preempted":  # with the partition's time of grace
        slurm.run("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--wrap=sleep 1")
    else:
        slurm.hosts[1].cable("down")
        training.until(lambda: "PENDING" in slurm.run("squeue", "--noheader", "--format=%T"), log.read_text)
        slurm.hosts[1].cable("up")
    training.until(lambda: not slurm.run("squeue", "--noheader"), log.read_text, 600)
    said = log.read_text()
    assert said.count("pretrain: continues at step") == 1, said
    if taken != "a node cut off":
        assert "told to stop; saved at step" in said
    assert training.files(folder) == undisturbed


def test_a_job_that_is_cancelled_saves_and_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slurm: Cluster
) -> None:
    job, log = submitted(tmp_path / "project", monkeypatch, slurm)
    slurm.run("scancel", job)
    training.until(lambda: not slurm.run("squeue", "--noheader"), log.read_text)
    time.sleep(2)  # for a job that is queued again waits, but is listed
    assert not slurm.run("squeue", "--noheader")
    assert "told to stop; saved at step" in log.read_text()


def submitted(folder: Path, monkeypatch: pytest.MonkeyPatch, slurm: Cluster) -> tuple[str, Path]:
    """A job in the middle of its run: its number and its log."""
    slurm.environment |= training.prepare(folder)
    monkeypatch.chdir(folder)  # for the flags that dvc.yaml gives the stage
    (folder / "job.sh").write_text(launch.sbatch(training.PLACE, "run"))
    job = slurm.run("sbatch", "--parsable", "job.sh", folder=folder)
    log = folder / f"run-{job}.log"
    training.until(lambda: training.reached(folder, 2 * training.EVERY), log.read_text)
    return job, log
