"""A run while it trains: event files for TensorBoard and, where the profile asks, Weights & Biases and lines of JSON.

All are shown what the log holds and what depends on the machine and the moment: speed, memory, when it was. So they
lie in the work area, beside the checkpoints of the run, and are no result. A run that continues, or goes back, goes
on where its checkpoint was: what was shown of later steps is shown anew.
"""

import dataclasses
import importlib
import json
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

import torch
from accelerate import Accelerator

from stages.core.errors import HeadwaterError
from stages.core.runtime import profile
from stages.training.event_file import EventFile
from stages.training.settings import Training


class Watcher(Protocol):
    """Where the figures of a step go."""

    def show(self, figures: Mapping[str, float], step: int) -> None:
        """Figures by name, ``group/figure``."""


@dataclasses.dataclass(frozen=True)
class Pace:
    """What speed is measured by."""

    flops: int
    """Floating-point operations of a token, forward and backward."""
    peak: float
    """Operations a second of matrix products, of all processes together."""
    batch: int
    """Rows of a step."""
    rows: int
    """Rows of an epoch."""


class Watched:
    """What is told of a run; made by :func:`watched`.

    Args:
        watchers: Who is told.
        device: Where it trains.
        pace: What its speed is measured by.
    """

    def __init__(self, watchers: list[Watcher], device: torch.device, pace: Pace) -> None:
        self.watchers, self.device, self.pace = watchers, device, pace
        self._before = time.monotonic()

    def after(self, names: Sequence[str], row: Sequence[float], positions: int, passed: int) -> None:
        """Tell of a step.

        Args:
            names: The columns of the log.
            row: What they hold of this step.
            positions: Tokens of it.
            passed: Batches that were gone past before it.
        """
        if not self.watchers:
            return
        now = time.monotonic()
        rate, self._before = positions / max(now - self._before, 1e-9), now
        logged = dict(zip(names, row, strict=True))
        step, tokens = int(logged.pop("step")), logged.pop("tokens")
        epoch, place = divmod((step + passed) * self.pace.batch, self.pace.rows)
        figures = {f"training/{name}": value for name, value in logged.items()}
        figures |= {
            "speed/tokens_per_second": rate,
            "speed/share_of_matmul_peak": rate * self.pace.flops / self.pace.peak,
            "memory/peak_gib": _peak_memory(self.device) / 2**30,
            "data/tokens": tokens,
            "data/epoch": epoch,
            "data/row_of_epoch": place,
        }
        for watcher in self.watchers:
            watcher.show(figures, step)


def _peak_memory(device: torch.device) -> int:
    """Bytes: most that tensors took on an accelerator; without one, most that was resident of the process."""
    if device.type == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(torch.accelerator.max_memory_allocated(device))


@contextmanager
def watched(
    area: Path, label: str, training: Training, done: int, accelerator: Accelerator, pace: Pace
) -> Iterator[Watched]:
    """Let a run be watched while inside; the first process tells, of the others' calls nothing is seen.

    Args:
        area: Folder of the work area for this run, whose name identifies it.
        label: The stage's name.
        training: How the run trains.
        done: Steps in the checkpoint that it continues at.
        accelerator: The processes that train.
        pace: What its speed is measured by.

    Raises:
        HeadwaterError: the profile asks for Weights & Biases, which is not installed or does not take the run.
    """
    with ExitStack() as stack:
        watchers: list[Watcher] = []
        if accelerator.is_main_process:
            watchers.append(_TensorBoard(stack.enter_context(closing(EventFile(area, done + 1))), done))
            if profile().watching.scalars:
                file = stack.enter_context(Path(profile().watching.scalars).open("a", encoding="utf-8", buffering=1))
                watchers.append(_Lines(file))
            if profile().watching.wandb:
                watchers.append(stack.enter_context(_wandb(area, label, training)))
        yield Watched(watchers, accelerator.device, pace)


class _TensorBoard:
    def __init__(self, file: EventFile, done: int) -> None:
        self.file, self.last = file, done

    def show(self, figures: Mapping[str, float], step: int) -> None:
        if step <= self.last:  # the run went back
            self.file.start(step)
        self.last = step
        self.file.show(figures, step)


class _Lines:
    def __init__(self, file: TextIO) -> None:
        self.file = file

    def show(self, figures: Mapping[str, float], step: int) -> None:
        self.file.write(json.dumps({"step": step, **figures}) + "\n")


class _WeightsAndBiases:
    def __init__(self, run: Any) -> None:
        self.run = run

    def show(self, figures: Mapping[str, float], step: int) -> None:
        self.run.log(dict(figures), step=step)


@contextmanager
def _wandb(area: Path, label: str, training: Training) -> Iterator[Watcher]:
    try:
        # By name: who watches is no part of the run's identity, so another version does not start it anew.
        wandb = importlib.import_module("wandb")
    except ImportError:
        raise HeadwaterError("the profile's watching.wandb needs a package: pip install '.[wandb]'") from None
    try:
        run = wandb.init(
            project=profile().watching.wandb,
            id=area.name,
            name=f"{label}-{area.name[:8]}",
            group=label,
            dir=area,
            config=dataclasses.asdict(training),
            resume="allow",
        )
    except wandb.Error as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise HeadwaterError(f"Weights & Biases: {first}; WANDB_MODE=offline writes for a later `wandb sync`") from None
    with run:  # one that ends in an exception is marked as failed
        yield _WeightsAndBiases(run)
