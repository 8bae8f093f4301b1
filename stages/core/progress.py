"""Progress that a person can read: a bar on a terminal, a plain line now and then in a log."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

# A log line at most this often, in seconds: a build of ten minutes stays readable.
_LOG_EVERY = 10.0

# Of several training processes the first speaks for all; errors are told by each.
_SPEAKS = os.environ.get("RANK", "0") == "0"

console = Console(stderr=True, highlight=False, soft_wrap=True)


def log(message: str) -> None:
    """One plain line for the reader of the log; text from the web must not be passed here unescaped."""
    console.print(message, markup=False)


class Meter:
    """Counts work done and shows it; made by :func:`meter`."""

    def __init__(self, label: str, total: float, unit: str, done: float, bar: Progress | None) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.count = 0.0
        self.done = self._before = done
        self._bar = bar
        self._task = bar.add_task(label, total=total, completed=int(done), note="") if bar else None
        self._start = self._said = time.monotonic()

    @property
    def rate(self) -> float:
        """Units a second since the start."""
        return self.count / max(time.monotonic() - self._start, 1e-9)

    def advance(self, count: float, done: float | None = None, note: str = "") -> None:
        """Add ``count`` units; ``done`` is the share of ``total`` they stand for where that is not ``count`` itself."""
        self.count += count
        self.done += count if done is None else done
        now = time.monotonic()
        text = f"{self.count:,.0f} {self.unit}, {self.rate:,.0f} {self.unit}/s {note}".rstrip()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done, note=text)
        elif _SPEAKS and (now - self._said >= _LOG_EVERY or self.done >= self.total):
            self._said = now
            left = (now - self._start) * (self.total - self.done) / max(self.done - self._before, 1e-9)
            log(f"{self.label}: {100 * self.done / max(self.total, 1e-9):.0f} %, {text}, {max(left, 0):.0f} s left")


@contextmanager
def meter(label: str, total: float, unit: str, done: float = 0) -> Iterator[Meter]:
    """A bar (terminal) or plain lines (log) for ``total`` units of work, with rate and time left.

    Args:
        label: What is being done.
        total: How much there is to do.
        unit: What is counted, plural.
        done: How much of ``total`` an earlier run has done.
    """
    if not (console.is_terminal and _SPEAKS):
        yield Meter(label, total, unit, done, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        yield Meter(label, total, unit, done, bar)
