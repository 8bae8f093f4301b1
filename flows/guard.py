"""Run a command that cannot outlive whoever started it, nor leave a process of its own behind.

Killing a process leaves its children running: a stopped flow would leave DVC, and a killed DVC its stage and the
workers of that stage, all still writing. So a command runs below a small guard, which leads a session and process
group of its own and holds one end of a pipe. When the other end is closed, on purpose or because its owner died of
whatever cause, the guard interrupts the whole group, waits, and kills what is left of it, itself included.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import IO, Protocol

_GRACE = 60.0  # seconds between being asked and being killed: training ends its step and writes a checkpoint


class Process(Protocol):
    """A command that can be stopped."""

    @property
    def stdin(self) -> IO[str] | None:
        """What holds it: it ends when this is closed."""

    @property
    def stdout(self) -> IO[str] | None:
        """Its output."""

    def wait(self) -> int:
        """Its exit status, once it has ended."""


Guarded = subprocess.Popen[str]
"""A command under guard: the guard's process, whose exit status is the command's, or negative if it had to kill."""


def start(
    command: Sequence[str], environment: Mapping[str, str] | None = None, *, output: IO[str] | int = subprocess.PIPE
) -> Guarded:
    """Start ``command`` under guard, with ``environment`` added to this process's own.

    Its output, errors included, goes to ``output``: a file, or a pipe to be read as the process's ``stdout``.
    """
    return subprocess.Popen(
        [sys.executable, "-IS", __file__, *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"},
        text=True,
        errors="replace",
        start_new_session=True,
    )


def stop(process: Process) -> None:
    """Have the guard end the command and all it started; returns at once, the process ends within the grace time."""
    assert process.stdin is not None
    process.stdin.close()


def keep(gate: int, wait: Callable[[], int], asked: signal.Signals = signal.SIGINT) -> int:
    """Guard a command of this process's group until it has ended; its exit status, as a shell tells it.

    Args:
        gate: File that ends when the command is to end.
        wait: Waits for the command; its exit status, or minus the signal that ended it.
        asked: The signal by which the command and all that it started are asked to end.
    """
    # A handler of our own and not SIG_IGN, which a command would inherit.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _survive)
    threading.Thread(target=_watch, args=[gate, asked], daemon=True).start()
    status = wait()
    os.killpg(0, signal.SIGTERM)  # what the command left running
    return status if status >= 0 else 128 - status


def _watch(gate: int, asked: signal.Signals) -> None:
    while os.read(gate, 1):
        pass
    os.killpg(0, asked)
    time.sleep(_GRACE)
    os.killpg(0, signal.SIGKILL)


def _survive(number: int, frame: FrameType | None) -> None:
    """The guard goes last: a signal to the group is for the others."""


if __name__ == "__main__":
    sys.exit(keep(sys.stdin.fileno(), subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL).wait))
