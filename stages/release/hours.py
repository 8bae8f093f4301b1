"""How long training took, by what its runs wrote while they ran: known where the build was made, and nowhere else.

Time changes no byte of a result, so no result holds it. The work area does: every attempt at a run leaves an event file
for TensorBoard (https://www.tensorflow.org/tensorboard), whose first and last events say when it began and ended.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event

from stages.core import hardware
from stages.core.runtime import profile

_LENGTH = struct.Struct("<Q")  # of a record; a checksum of 4 bytes stands behind it, and another behind the record


@dataclass(frozen=True)
class Hours:
    """Of the run that a stage's results came from."""

    stage: str
    seconds: float
    """From the start of each attempt to its last step; those that were made again after a stop count again."""
    attempts: int


def spent(stage: str, log: Path) -> Hours | None:
    """The time of the run that ended in ``log``, if it was made in this work area and is still there.

    Args:
        stage: Whose run.
        log: What it published as its log.
    """
    if not log.is_file():
        return None
    ended = log.read_bytes()
    for run in sorted(path for path in (profile().work / stage).glob("*") if path.is_dir()):
        logs = sorted(run.glob("step-*/log.csv"))
        if logs and logs[-1].read_bytes() == ended:
            times = [taken for path in sorted(run.glob("events.*")) if (taken := list(_times(path)))]
            return Hours(stage, sum(taken[-1] - taken[0] for taken in times), len(times)) if times else None
    return None


def _times(path: Path) -> Iterator[float]:
    """When the events of a file were written, in seconds; a last one that a kill cut short is left out."""
    with path.open("rb") as file:
        while len(head := file.read(_LENGTH.size + 4)) == _LENGTH.size + 4:
            (length,) = _LENGTH.unpack(head[: _LENGTH.size])
            record = file.read(length + 4)
            if len(record) < length + 4:
                return
            yield Event.FromString(record[:length]).wall_time


def section(stages: dict[str, Path]) -> str:
    """A section of a model card; empty where nothing is known.

    Args:
        stages: Stage to the log that it published.
    """
    found = [hours for stage, log in stages.items() if (hours := spent(stage, log))]
    if not found:
        return ""
    rows = "".join(f"| {one.stage} | {one.seconds / 3600:.3g} | {one.attempts} |\n" for one in found)
    return (
        "\n## Hours\n\nRead from the event files that the runs left in the work area of the machine that made this "
        f"bundle ({_machine()}), from the start of each attempt to its last step. Nothing else counts, such as runs "
        "before these.\n\n"
        f"| Stage | Hours | Attempts |\n| --- | ---: | ---: |\n{rows}"
    )


def _machine() -> str:
    """The processor and what runs on it."""
    machine = hardware.here()
    accelerators = "".join(f", {name}" for name in machine["accelerators"])
    return f"{machine['cores']} × {machine['processor']}{accelerators}, {machine['system']}"
