"""An event file that its disk has no room for: the step fails, which would else wait for ever."""

from pathlib import Path

import pytest

from stages.training.event_file import EventFile
from tests.conftest import DISK_MB


def test_on_a_full_disk_a_step_fails_and_what_was_shown_before_stays(disk: Path) -> None:
    file = EventFile(disk, 1)
    (path,) = disk.glob("events.*")

    def show(steps: int) -> None:
        for step in range(steps):
            file.show({"training/loss": 1.0}, step)

    show(1)
    before = path.read_bytes()
    with (disk / "fill").open("wb", buffering=0) as fill:
        assert fill.write(bytes(DISK_MB << 20)) < DISK_MB << 20
    with pytest.raises(OSError, match="No space left"):
        show(1000)
    file.close()
    assert path.read_bytes().startswith(before)
