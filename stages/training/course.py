"""How far a run has come: what a checkpoint holds beside tensors."""

from collections.abc import Callable, Mapping

from stages.training import held_out, spikes
from stages.training.run import Step
from stages.training.settings import Training

LOG = "log.csv"
DESCRIBED = "model"
"""Folder beside the checkpoints of a run: what makes a folder of a model of one, but for the weights."""
HEADER = "step,tokens,loss,learning_rate,gradient_norm"


class Course:
    """The steps of a run so far.

    Args:
        training: How it trains.
        steps: Its length.
        measure: Gives the loss of the rows that are held out.
        done: Steps behind it.
        texts: What it has written, as :attr:`texts` gives it; nothing before the first step.
    """

    def __init__(
        self,
        training: Training,
        steps: int,
        measure: Callable[[], float],
        done: int,
        texts: Mapping[str, str],
    ) -> None:
        self.done = done
        self.lines = texts.get(LOG, "").splitlines() or [HEADER + f",{held_out.COLUMN}" * bool(training.held_out.rows)]
        self.names = self.lines[0].split(",")
        self.row: list[float] = []
        """The last row of the log, once a step was added."""
        self.guard = spikes.Guard(training.spikes, self.column("loss"), spikes.read(texts.get(spikes.FILE, "[]")))
        self.watch = held_out.Watch(training.held_out, steps, self.column(held_out.COLUMN), measure)
        self.tokens = int(self.column("tokens")[-1]) if done else 0

    @property
    def texts(self) -> dict[str, str]:
        """What has been written, by name of a file."""
        return {LOG: "".join(f"{line}\n" for line in self.lines), spikes.FILE: self.guard.text}

    @property
    def losses(self) -> list[float]:
        """Of the steps that were learned from."""
        skipped = self.guard.skipped
        return [loss for step, loss in enumerate(self.column("loss"), start=1) if step not in skipped]

    def column(self, name: str) -> list[float]:
        """The numbers of a column of the log; none if it has no such column."""
        if name not in self.names:
            return []
        place = self.names.index(name)
        return [float(line.split(",")[place]) for line in self.lines[1:]]

    def add(self, taken: Step) -> bool:
        """Write down a step, and measure if it is time; whether the held-out loss is the lowest so far."""
        self.done += 1
        self.tokens += taken.positions
        improved = self.watch.after(self.done)
        self.row = [self.done, self.tokens, taken.loss, taken.learning_rate, taken.gradient_norm, *self.watch.column]
        # repr of a float gives back the same float: the log holds the losses in full.
        self.lines.append(",".join(map(repr, self.row)))
        return improved
