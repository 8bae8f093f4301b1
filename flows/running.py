"""The commands that a flow has under way, which all end together, and what is said of one that failed."""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from prefect import get_run_logger

from flows import guard, warm

# DVC's advice after every stage; said once too often it hides the log.
_HINTS = (
    "To track the changes",
    "\tgit add ",
    "To enable auto staging",
    "\tdvc config core.autostage",
    "Use `dvc push`",
    "To apply the results of an experiment",  # `python -m flows.apply` does
    "  dvc exp apply",
)


def search_path() -> str:
    """PATH of a stage's command: `python` is the one that runs this, also where its environment is not activated."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


class Commands:
    """The commands of this run that are under way, so that all can be stopped at once."""

    def __init__(self) -> None:
        self.stopped = False
        self._lock = threading.Lock()
        self._running: set[guard.Process] = set()
        self._path = search_path()
        self._dvc: warm.Dvc | None = None
        self._kinds: dict[str, threading.Semaphore] = {}

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        started: Callable[[guard.Guarded], None] | None = None,
    ) -> tuple[int, list[str]]:
        """Run ``command`` and log each line that it prints; its exit status and those lines.

        Args:
            command: With its arguments.
            environment: What it has beside this process's own.
            started: Told of the process, which it may stop.
        """

        def start() -> guard.Process:
            process = guard.start(command, {"PATH": self._path, **(environment or {})})
            if started:
                started(process)
            return process

        return self._followed(start)

    def dvc(self, *arguments: str) -> tuple[int, list[str]]:
        """Run a command of DVC likewise, without the time that DVC takes to load."""

        def start() -> guard.Process:
            self._dvc = self._dvc or warm.Dvc(self._path)
            return self._dvc.start(arguments)

        return self._followed(start)

    @contextlib.contextmanager
    def turn(self, at_once: Mapping[str, int]) -> Iterator[None]:
        """Wait for a place among the stages of some kinds, and hold it; ``at_once`` says how many each kind has."""
        with contextlib.ExitStack() as places:
            for kind in sorted(at_once):  # in one order for all, or two stages would wait for each other
                with self._lock:
                    place = self._kinds.setdefault(kind, threading.Semaphore(at_once[kind]))
                places.enter_context(place)
            yield

    def close(self) -> None:
        """End what has DVC loaded."""
        with self._lock:
            if self._dvc:
                self._dvc.close()

    def _followed(self, start: Callable[[], guard.Process]) -> tuple[int, list[str]]:
        logger = get_run_logger()
        lines = []
        with self._lock:
            if self.stopped:
                return -1, []
            process = start()
            self._running.add(process)
        assert process.stdout is not None
        for line in process.stdout:
            line = line.rstrip()
            if line and not line.startswith(_HINTS):
                lines.append(line)
                logger.log(logging.ERROR if line.lower().startswith("error: ") else logging.INFO, "%s", line)
        with self._lock:
            self._running.remove(process)
            guard.stop(process)
        return process.wait(), lines

    def stop(self) -> None:
        """End every command with all that it started, and let no new one begin."""
        with self._lock:
            self.stopped = True
            for process in self._running:
                guard.stop(process)


def reason(stage: str, lines: Sequence[str]) -> str:
    """Why a stage failed, in one line: its own error, else the last line of its traceback, else what DVC says."""
    for line in reversed(lines):
        if line.startswith("error: "):
            return line.removeprefix("error: ").removeprefix(f"{stage}: ")
    traces = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last):")]
    if traces:
        return next((line for line in lines[traces[-1] + 1 :] if not line.startswith(" ")), lines[-1])
    return next((line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")), "no reason given")


def has_cause(record: logging.LogRecord) -> bool:
    """Whether a record is worth showing; Prefect logs a failed state with the traceback of no exception."""
    return record.exc_info != (None, None, None)
