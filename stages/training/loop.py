"""The training loop: one for every stage that trains.

How to use it::

    class Answers:                                   # the data: rows by number, see stages.training.data
        def __len__(self) -> int: ...
        def rows(self, indices, positions) -> Rows: ...

    area = shards.area("finetune", shards.identity(run, what_identifies_it, [inputs]))
    trained = train(model, Answers(...), params.training, steps=..., seed=..., area=area, label="finetune")
    trained.weights   # whole, by name; for model.save; empty but on the process that publishes (is_main)
    trained.log       # log.csv: step, tokens, loss, learning_rate, gradient_norm, with held-out rows also their loss
    trained.metrics   # in, out, dropped (rows), steps, tokens, parameters, flops, loss

A step's batch is a function of (seed, step), see :mod:`stages.core.order`; its loss is the mean over the targets of
the whole batch, so neither micro-batches nor processes change it by more than the order of sums. A run that is killed
continues at its last checkpoint and ends in the same bytes.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stages.core.errors import HeadwaterError
from stages.core.progress import log, meter
from stages.core.runtime import profile
from stages.core.shards import Metrics
from stages.training import distributed, held_out, learner
from stages.training.checkpoint import Checkpoints
from stages.training.data import Data, Split
from stages.training.learner import Learner, Making
from stages.training.model import flops_per_token
from stages.training.run import Run
from stages.training.settings import Training
from stages.training.speed import matmul_peak
from stages.training.watching import Pace, watched

HEADER = "step,tokens,loss,learning_rate,gradient_norm"

# Losses of single batches scatter; the figure that runs are compared by is the mean over this share of the last steps.
_LAST = 0.05


@dataclass(frozen=True)
class Trained:
    """What a run ends in; complete on the first process, ``weights`` are empty on the others."""

    weights: dict[str, torch.Tensor]
    log: str
    metrics: Metrics
    is_main: bool
    """Whether this process is the one that publishes."""


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

    Raises:
        HeadwaterError: the data make no batch, the batch does not divide, the loss is not finite, or the process was
            asked to stop (SIGTERM; a checkpoint is saved first).
    """
    accelerator = distributed.start(training, wrapped=type(learner.layers(model)[0]).__name__)
    _check(training, len(data), accelerator.num_processes)
    flops = flops_per_token(model, model.config.max_position_embeddings)
    size = sum(parameter.numel() for parameter in model.parameters())
    run = Run(accelerator, model, Split(data, training.held_out.rows, seed), training, steps, seed, making)
    checkpoints = Checkpoints(area, accelerator, run.learner, run.optimizers, run.kept.weights)
    done, lines = checkpoints.load()
    if accelerator.is_main_process:
        _say(label, training, done, steps)
    lines = lines or [HEADER + f",{held_out.COLUMN}" * bool(training.held_out.rows)]
    watch = held_out.Watch(training.held_out, steps, _column(lines, held_out.COLUMN), run.held_out_loss)
    tokens = int(lines[-1].split(",")[1]) if done else 0
    peak = matmul_peak(accelerator.device, training.precision) * accelerator.num_processes if done < steps else 0.0
    pace = Pace(flops, peak, training.batch_sequences, run.split.rows)
    with (
        distributed.stoppable() as stop,
        meter(label, steps, "tokens", done) as progress,
        watched(area, label, training, done, accelerator, pace) as watchers,
    ):
        while done < steps and not watch.ended:
            taken = run.step(done, stop)
            done += 1
            tokens += taken.positions
            run.kept.after(done, improved=watch.after(done))
            row = [done, tokens, taken.loss, taken.learning_rate, taken.gradient_norm, *watch.column]
            # repr of a float gives back the same float: the log holds the losses in full.
            lines.append(",".join(map(repr, row)))
            watchers.after(lines[0].split(","), row, taken.positions)
            used = progress.rate * flops / peak if progress.rate else 0.0
            progress.advance(taken.positions, 1, f"loss {taken.loss:.3f}, {used:.0%} of matmul peak")
            ended = done == steps or watch.ended
            if ended or taken.stopping or done % profile().saving.every == 0:
                checkpoints.save(done, lines)
            if taken.stopping and not ended:
                raise HeadwaterError(f"told to stop; saved at step {done:,} of {steps:,}, run again to continue")
    metrics = _metrics(_column(lines, "loss"), len(data), training)
    metrics |= {"tokens": tokens, "parameters": size, "flops": flops * tokens}
    if watch.losses:
        metrics[held_out.COLUMN] = watch.result
    return Trained(run.weights(), "\n".join(lines) + "\n", metrics, accelerator.is_main_process)


def _say(label: str, training: Training, done: int, steps: int) -> None:
    if done:
        log(f"{label}: continues at step {done:,} of {steps:,}")
    if not training.deterministic:
        log(f"{label}: training.deterministic is false: another run, or one that was stopped, may end in other bytes")


def _check(training: Training, rows: int, processes: int) -> None:
    batch, micro, held = training.batch_sequences, training.micro_batch, training.held_out.rows
    if processes > batch:
        raise HeadwaterError(f"params.yaml: batch_sequences is {batch}, for {processes} processes: take fewer of them")
    if batch % (micro * processes):
        raise HeadwaterError(
            f"params.yaml: batch_sequences is {batch}, which does not divide into micro-batches of {micro} on "
            f"{processes} process{'es' * (processes > 1)}"
        )
    if held % processes:
        raise HeadwaterError(f"params.yaml: held_out.rows is {held}, which {processes} processes cannot share")
    if rows - held < batch:
        apart = f" ({held} of {rows} are held out)" * bool(held)
        raise HeadwaterError(
            f"{rows - held} rows to train on are too few for one batch of {batch}{apart}: lower batch_sequences"
        )


def _column(lines: list[str], name: str) -> list[float]:
    """The numbers of a column of the log; none if it has no such column."""
    names = lines[0].split(",")
    return [float(line.split(",")[names.index(name)]) for line in lines[1:]] if name in names else []


def _metrics(losses: list[float], rows: int, training: Training) -> Metrics:
    last = losses[-max(1, round(_LAST * len(losses))) :]
    held = training.held_out.rows
    seen = min(rows - held, len(losses) * training.batch_sequences)
    dropped = {"not_reached": rows - held - seen} | ({"held_out": held} if held else {})
    return {"in": rows, "out": seen, "dropped": dropped, "steps": len(losses), "loss": math.fsum(last) / len(last)}
