"""The training loop: one for every stage that trains.

How to use it::

    class Answers:                                   # the data: rows by number, see stages.training.data
        def __len__(self) -> int: ...
        def rows(self, indices, positions) -> Rows: ...
        def sources(self, indices) -> list[str]: ...

    area = shards.area("finetune", shards.identity(run, what_identifies_it, [inputs]))
    trained = train(model, Answers(...), params.training, steps=..., seed=..., area=area, label="finetune")
    trained.weights   # whole, by name; for model.save; empty but on the process that publishes (is_main)
    trained.log       # log.csv: step, tokens, loss, learning_rate, gradient_norm, with held-out rows also their loss
    trained.spikes    # spikes.json: steps that were not learned from, with what their batches were made of
    trained.metrics   # in, out, dropped (rows), steps, tokens, parameters, flops, loss, spikes

A step's batch is a function of (seed, step), see :mod:`stages.core.order`; its loss is the mean over the targets of
the whole batch, so neither micro-batches nor processes change it by more than the order of sums. A run that is killed
continues at its last checkpoint and ends in the same bytes.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stages.core.errors import HeadwaterError, PreemptedError
from stages.core.progress import log, meter
from stages.core.runtime import profile
from stages.core.shards import Metrics
from stages.training import distributed, held_out, spikes
from stages.training.checkpoint import Checkpoints
from stages.training.course import DESCRIBED, LOG, Course
from stages.training.data import Data, Split
from stages.training.learner import Learner, Making
from stages.training.ranks import Ranks
from stages.training.run import Run, Step
from stages.training.settings import Training
from stages.training.speed import matmul_peak
from stages.training.watching import Pace, Watched, watched

# Losses of single batches scatter; the figure that runs are compared by is the mean over this share of the last steps.
_LAST = 0.05


@dataclass(frozen=True)
class Trained:
    """What a run ends in; complete on the first process, ``weights`` are empty on the others."""

    weights: dict[str, torch.Tensor]
    log: str
    spikes: str
    metrics: Metrics
    first_loss: float
    """Of the first step that was learned from."""
    is_main: bool
    """Whether this process is the one that publishes."""


@distributed.together()
def train(
    model: Any,
    data: Data,
    training: Training,
    *,
    steps: int,
    seed: int,
    area: Path,
    label: str,
    making: Making = Learner,
    ranks: Ranks | None = None,
    describe: Callable[[Any, Path], None] | None = None,
    snapshots: Collection[int] = (),
) -> Trained:
    """Train ``model`` for ``steps`` steps, from its last checkpoint in ``area`` if there is one.

    Args:
        model: For causal or masked language modelling, of transformers, in float32.
        data: What to train on; epochs wrap, each in another order.
        training: Batches, precision, optimizer, schedule and the rest.
        steps: Length of the run.
        seed: Of the data's order, and of dropout where the model has any.
        area: Folder of the work area for this run's checkpoints, named for the run's identity.
        label: The stage's name, for progress.
        making: Gives the model its objective; without one, the next token or the masked ones.
        ranks: Of AdaLoRA, where that changed the model.
        describe: Writes what a folder of the model holds besides weights, given its configuration: with that its
            checkpoints become models, see :mod:`stages.training.snapshot`.
        snapshots: Steps whose checkpoints are saved and kept.

    Raises:
        HeadwaterError: the data make no batch, the batch does not divide, too many steps cannot be learned from, or
            another process is gone.
        PreemptedError: the process was told to stop (SIGTERM); a checkpoint was saved.
    """
    accelerator = distributed.start(training, profile().parallel)
    _check(training, len(data), accelerator.num_processes, f"params.yaml: {label}.training")
    sizes = _sizes(model)
    run = Run(
        accelerator, model, Split(data, training.held_out.rows, seed, steps), training, steps, seed, making, ranks
    )
    flops = run.learner.flops_per_token * (2 if training.adversarial else 1)  # a batch is then learned twice
    beside = run.kept.weights | (ranks.state if ranks else {})
    checkpoints = Checkpoints(area, accelerator, run.learner, run.optimizers, beside, snapshots)
    way = _Way(run, checkpoints, area, label)
    begun = way.course.done
    if accelerator.is_main_process:
        _say(label, training, begun, steps)
        if describe:
            describe(model.config, area / DESCRIBED)
    peak = accelerator.num_processes * (matmul_peak(accelerator.device, training.precision) if begun < steps else 0.0)
    pace = Pace(flops, peak, training.batch_sequences, run.split.rows)
    with (
        distributed.stoppable() as stop,
        meter(label, steps, "tokens", begun) as progress,
        watched(area, label, training, begun, accelerator, pace) as watchers,
        contextlib.closing(checkpoints),
    ):
        while not way.ended:
            before, taken = way.course.done, way.step(stop, watchers)
            used = progress.rate * flops / peak if progress.rate else 0.0
            note = f"loss {taken.loss:.3f}, {used:.0%} of matmul peak"
            progress.advance(taken.positions, way.course.done - before, note)
    course = way.course
    metrics = _metrics(course, len(data), training) | sizes | {"flops": flops * course.tokens}
    weights = run.weights()  # and the model has them from here on
    if training.held_out.rows and training.averaging.method != "none":
        metrics[held_out.COLUMN] = run.held_out_loss()  # of the average, which the log knows nothing of
    written, is_main = course.texts, accelerator.is_main_process
    return Trained(weights, written[LOG], written[spikes.FILE], metrics, course.losses[0], is_main)


class _Way:
    """A run from the checkpoint that it is at to its end: steps, ways back, and what is saved when."""

    def __init__(self, run: Run, checkpoints: Checkpoints, area: Path, label: str) -> None:
        self.run, self.checkpoints, self.area, self.label = run, checkpoints, area, label
        self._begin = functools.partial(Course, run.training, run.steps, run.held_out_loss)
        self.course = self._begin(*checkpoints.load())

    @property
    def ended(self) -> bool:
        """Whether no step is left."""
        return self.course.done == self.run.steps or self.course.watch.ended

    def step(self, stop: distributed.Stop, watchers: Watched) -> Step:
        """Take the next step, or go back from it; save where it is time.

        Raises:
            HeadwaterError: the run is not to go on.
            PreemptedError: the process was told to stop; the state is saved.
        """
        course = self.course
        taken = self.run.step(course.done, course.guard, stop)
        back = self._spike(taken) if taken.spike else None
        if back is None:
            improved = course.add(taken)
            self.run.kept.after(course.done, improved=improved)
            watchers.after(course.names, course.row, taken.positions, course.guard.passed)
            self._save(always=taken.stopping)
        else:
            done, texts = self.checkpoints.back(back)
            self.course = self._begin(done, {**texts, spikes.FILE: course.texts[spikes.FILE]})
        if taken.stopping and not self.ended:
            self.checkpoints.wait()
            at = f"saved at step {self.course.done:,} of {self.run.steps:,}"
            raise PreemptedError(f"told to stop; {at}, run again to continue")
        return taken

    def _save(self, *, always: bool) -> None:
        done, anchor = self.course.done, self.course.guard.anchor(self.course.done)
        due = done % profile().saving.every == 0 or done in {anchor, *self.checkpoints.keep}
        if always or due or self.ended:
            self.checkpoints.save(done, self.course.texts, anchor)

    def _spike(self, taken: Step) -> int | None:
        """Put on record that a step was not learned from; the step to go back to, if any."""
        assert taken.spike
        course, guard = self.course, self.course.guard
        step, sources = course.done + 1, self.run.sources(course.done + guard.passed)
        back = guard.note(step, taken.spike, taken.loss, taken.gradient_norm, sources)
        file = self.area / spikes.FILE
        if self.run.accelerator.is_main_process:
            file.write_text(course.texts[spikes.FILE], "utf-8")
            did = "is skipped" if back is None else f"leads back to step {back:,}"
            figures = f"loss {taken.loss:.4g} and gradient norm {taken.gradient_norm:.4g}: {taken.spike}"
            log(f"{self.label}: step {step:,} {did}, with {figures}; {file} says on what data")
        guard.check(file)
        return back


def _say(label: str, training: Training, done: int, steps: int) -> None:
    if done:
        log(f"{label}: continues at step {done:,} of {steps:,}")
    if training.schedule.warmup >= steps:
        log(
            f"{label}: training.schedule.warmup is {training.schedule.warmup:,}, of {steps:,} steps: "
            "the learning rate rises to the end and never falls"
        )
    if not training.deterministic:
        log(f"{label}: training.deterministic is false: another run, or one that was stopped, may end in other bytes")


def _check(training: Training, rows: int, processes: int, where: str) -> None:
    batch, micro, held = training.batch_sequences, training.micro_batch, training.held_out.rows
    if processes > batch:
        raise HeadwaterError(f"{where}.batch_sequences is {batch}, for {processes} processes: take fewer of them")
    if batch % (micro * processes):
        raise HeadwaterError(
            f"{where}.batch_sequences is {batch}, which does not divide into micro-batches of {micro} on "
            f"{processes} process{'es' * (processes > 1)}"
        )
    if held % processes:
        raise HeadwaterError(f"{where}.held_out.rows is {held}, which {processes} processes cannot share")
    if rows - held < batch:
        apart = f" ({held} of {rows} are held out)" * bool(held)
        raise HeadwaterError(
            f"{rows - held} rows to train on are too few for one batch of {batch}{apart}: "
            f"bring more, or lower batch_sequences and micro_batch of {where}"
        )


def _sizes(model: Any) -> Metrics:
    every = list(model.parameters())
    trained = sum(parameter.numel() for parameter in every if parameter.requires_grad)
    return {"parameters": sum(parameter.numel() for parameter in every), "trained_parameters": trained}


def _metrics(course: Course, rows: int, training: Training) -> Metrics:
    losses, held = course.losses, training.held_out.rows
    if not losses:
        raise HeadwaterError("no step could be learned from: lower schedule.peak")
    last = losses[-max(1, round(_LAST * len(losses))) :]
    seen = min(rows - held, (course.done + course.guard.passed) * training.batch_sequences)
    dropped = {"not_reached": rows - held - seen} | ({"held_out": held} if held else {})
    metrics: Metrics = {"in": rows, "out": seen, "dropped": dropped, "steps": course.done, "tokens": course.tokens}
    metrics |= {"loss": math.fsum(last) / len(last), "spikes": len(course.guard.records)}
    return metrics | ({held_out.COLUMN: course.watch.result} if course.watch.losses else {})
