"""The losses of held-out rows over a run, and whether they end it: a function of the log, and so of the checkpoint."""

from collections.abc import Callable

from stages.training.settings import HeldOut

COLUMN = "held_out_loss"
"""Of the log: the loss as it was last measured; before the first step, once."""


class Watch:
    """The measurements of a run.

    Args:
        settings: When to measure, and when to end.
        steps: Length of the run.
        logged: What the log of a run that continues holds in its column, step by step.
        measure: Gives the loss.
    """

    def __init__(self, settings: HeldOut, steps: int, logged: list[float], measure: Callable[[], float]) -> None:
        self.settings, self.steps, self.measure = settings, steps, measure
        self.losses = [loss for step, loss in enumerate(logged, start=1) if self._due(step)]
        """The measurements, without the one before the first step."""
        self.column: list[float] = []
        """What a row of the log ends with: nothing if no rows are held out."""
        if settings.rows:
            self.column = logged[-1:] or [measure()]

    def after(self, step: int) -> bool:
        """Measure, if it is time, after ``step`` steps; whether the loss is the lowest so far."""
        if not (self.settings.rows and self._due(step)):
            return False
        self.column = [self.measure()]
        self.losses += self.column
        return self._misses == 0

    @property
    def ended(self) -> bool:
        """Whether the loss has not been lower for as long as the run has patience."""
        return 0 < self.settings.patience <= self._misses

    @property
    def result(self) -> float:
        """The loss of the weights that the run ends in, if they are no average."""
        return min(self.losses) if self.settings.patience else self.losses[-1]

    def _due(self, step: int) -> bool:
        return step % self.settings.every == 0 or step == self.steps

    @property
    def _misses(self) -> int:
        """How many measurements ago the loss was lowest."""
        return len(self.losses) - 1 - self.losses.index(min(self.losses)) if self.losses else 0
