"""Hours of a run are those of its own event files, attempt by attempt; where the run is not, nothing is said."""

from pathlib import Path

import pytest
from tensorboardX import SummaryWriter

from stages.release import hours


def run(area: Path, log: str, *attempts: tuple[float, ...]) -> Path:
    """A run in the work area with its last checkpoint's log, and an event file for each attempt."""
    checkpoint = area / "step-00000002"
    checkpoint.mkdir(parents=True)
    (checkpoint / "log.csv").write_text(log)
    for number, times in enumerate(attempts):
        writer = SummaryWriter(str(area), filename_suffix=f".{number}")
        for step, time in enumerate(times):
            writer.add_scalar("training/loss", 1.0, step, walltime=time)
        writer.close()
    return area


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("step\n1\n2\n")
    return path


def test_attempts_are_added_up(profile: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)  # when a file is begun
    run(profile / "pretrain" / "other", "step\n1\n", (1000.0, 9000.0))
    area = run(profile / "pretrain" / "ours", log.read_text(), (1000.0, 4600.0), (1000.0, 2800.0))
    found = hours.spent("pretrain", log)
    assert found == hours.Hours("pretrain", 5400.0, 2)
    newest = max(area.glob("events.*"))
    newest.write_bytes(newest.read_bytes()[:-5])  # killed as it wrote the last event
    assert hours.spent("pretrain", log) == hours.Hours("pretrain", 3600.0, 2)
    assert "| pretrain | 1 | 2 |" in hours.section({"pretrain": log, "finetune": log})


def test_a_model_that_was_not_made_here_has_no_hours(profile: Path, log: Path, tmp_path: Path) -> None:
    run(profile / "pretrain" / "other", "step\n1\n", (1000.0, 9000.0))
    assert hours.section({"pretrain": log, "finetune": tmp_path / "absent.csv"}) == ""
