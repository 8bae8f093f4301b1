"""Steps that are not learned from: those whose loss or gradient is no number, and those whose loss leaps.

What counts as a leap, and what is done about it, is a function of the parameters and of what the run has logged, so a
run that continues at a checkpoint decides as it did before.
"""

import json
import math
import statistics
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.core.errors import HeadwaterError
from stages.training.settings import Spikes

FILE = "spikes.json"

NOT_FINITE, LEAP = "not finite", "leap"
"""Why a step is not learned from."""


class Guard:
    """Judges the steps of a run, and remembers those that it was against.

    Args:
        settings: The rule.
        losses: Of the steps so far, as logged.
        records: Of the steps that it was against so far, as :func:`read` gives them.
    """

    def __init__(self, settings: Spikes, losses: Sequence[float], records: Sequence[dict[str, Any]]) -> None:
        self.settings = settings
        self.records = list(records)
        skipped = self.skipped
        learned = [loss for step, loss in enumerate(losses, start=1) if step not in skipped]
        self._recent = deque(learned, settings.window)

    @property
    def text(self) -> str:
        """A JSON list with an object for each step that was not learned from, with the documents of its batch."""
        # A list and not JSON lines: of most runs it is empty, and DVC warns of empty files.
        return json.dumps(self.records, indent=1) + "\n"

    @property
    def skipped(self) -> set[int]:
        """Steps, counted from 1, that are in the log and were not learned from."""
        return {record["step"] for record in self.records if record["back_to"] is None}

    @property
    def passed(self) -> int:
        """Batches that the run has gone past by going back: step n takes batch n + this."""
        return sum(record["step"] - record["back_to"] for record in self.records if record["back_to"] is not None)

    def judge(self, loss: float, norm: float) -> str | None:
        """Why a step with that loss and gradient norm is not to be learned from; None if it is, and is remembered."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return NOT_FINITE
        if len(self._recent) == self.settings.window:
            mean, deviation = statistics.fmean(self._recent), statistics.pstdev(self._recent)
            if loss > mean + self.settings.deviations * deviation:
                return LEAP
        self._recent.append(loss)
        return None

    def note(self, step: int, why: str, loss: float, norm: float, sources: Sequence[str]) -> int | None:
        """Remember that ``step``, counted from 1, was not learned from.

        Args:
            step: Its number.
            why: What :meth:`judge` said.
            loss: Of its batch.
            norm: Of its gradient.
            sources: What its batch was made of, such as ids of documents.

        Returns:
            The step to go back to, if any.
        """
        back = self.anchor(step - 1) or None
        record = {"step": step, "why": why, "loss": repr(loss), "gradient_norm": repr(norm), "back_to": back}
        self.records.append({**record, "sources": list(sources)})
        return back

    def anchor(self, done: int) -> int:
        """The step that is gone back to after ``done`` steps, whenever the profile saves; 0 if to none."""
        return done - done % self.settings.every if self.settings.action == "rollback" else 0

    def check(self, file: Path) -> None:
        """Say whether the run may go on after the step that was noted last.

        Args:
            file: Where :attr:`text` is to be read.

        Raises:
            HeadwaterError: it may not.
        """
        last, times = self.records[-1], self._in_a_row()
        if self.settings.action != "stop" and times <= self.settings.limit:
            return
        since = "" if last["back_to"] is None else f", after {times} ways back to step {last['back_to']:,}"
        raise HeadwaterError(
            f"the loss of step {last['step']:,} is {last['loss']} with gradient norm {last['gradient_norm']}"
            f"{since or f', as {times} in a row that cannot be learned from'}: lower schedule.peak, or see {file}"
        )

    def _in_a_row(self) -> int:
        """How many of the last steps were not learned from, or how often the run has gone back to where it is."""
        last = self.records[-1]
        if last["back_to"] is not None:
            return sum(record["back_to"] == last["back_to"] for record in self.records)
        skipped, step = self.skipped, last["step"]
        while step in skipped:
            step -= 1
        return int(last["step"] - step)


def read(text: str) -> list[dict[str, Any]]:
    """The steps that :attr:`Guard.text` holds."""
    found: list[dict[str, Any]] = json.loads(text)
    return found
