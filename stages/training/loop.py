"""The training loop: one for every stage that trains.

How to use it::

    class Answers:                                   # the data: rows by number, see ``Data``
        def __len__(self) -> int: ...
        def rows(self, indices) -> Rows: ...

    area = shards.area("finetune", shards.identity(run, what_identifies_it, [inputs]))
    trained = train(model, Answers(...), params.training, steps=..., seed=..., area=area, label="finetune")
    trained.weights   # whole, by name; for model.save; empty but on the process that publishes (is_main)
    trained.log       # log.csv: step, tokens, loss, learning_rate, gradient_norm
    trained.metrics   # in, out, dropped (rows), steps, tokens, parameters, flops, loss

A step's batch is a function of (seed, step), see :mod:`stages.training.order`; its loss is the mean over the targets of
the whole batch, so neither micro-batches nor processes change it by more than the order of sums. A run that is killed
continues at its last checkpoint and ends in the same bytes.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import torch
from accelerate import Accelerator
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, field_validator
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.progress import log, meter
from stages.core.runtime import profile
from stages.core.shards import Metrics
from stages.training import distributed, order
from stages.training.checkpoint import Checkpoints
from stages.training.loss import IGNORED, cross_entropy
from stages.training.model import flops_per_token
from stages.training.order import Integers
from stages.training.schedule import Schedule, learning_rate
from stages.training.speed import matmul_peak

HEADER = "step,tokens,loss,learning_rate,gradient_norm"

# Losses of single batches scatter; the figure that runs are compared by is the mean over this share of the last steps.
_LAST = 0.05


@params
class Training:
    """How a model is trained: batches, arithmetic and AdamW (Loshchilov and Hutter, arXiv 1711.05101)."""

    batch_sequences: PositiveInt
    """Rows of a step, over all processes."""
    micro_batch: PositiveInt
    """Rows of a forward pass on one process; the gradients of a step's passes are added up."""
    precision: Literal["bf16", "fp32"]
    """Type of matrix products: bf16 (by autocast, weights stay float32) or fp32."""
    attention: Literal["sdpa", "eager"]
    """How attention is computed: sdpa never holds its matrix of context², which long contexts and GPUs need; on a CPU
    at a context of 256, eager is faster (26 against 43 ms a layer, forward and backward, of 4,096 tokens)."""
    schedule: Schedule
    """Learning rate by step."""
    betas: tuple[PositiveFloat, PositiveFloat]
    """Decay of the running means of gradient and squared gradient."""
    epsilon: PositiveFloat
    """Added to the root of the mean squared gradient."""
    weight_decay: NonNegativeFloat
    """Pull of weights towards 0, times the learning rate; on matrices only."""
    clip: PositiveFloat
    """Norm that the gradient of a step is cut to."""

    @field_validator("precision", mode="before")
    @classmethod
    def _no_fp16(cls, value: object) -> object:
        if value == "fp16":
            raise ValueError("fp16 overflows without loss scaling, whose state breaks exact repetition; take bf16")
        return value


class Rows(NamedTuple):
    """Some rows to train on, padded to the same length."""

    input_ids: Integers
    """(rows, sequence)"""
    labels: Integers
    """(rows, sequence): the id that follows each position, or ``loss.IGNORED`` where there is no target."""


class Data(Protocol):
    """Rows to train on, by number; the same number is always the same row."""

    def __len__(self) -> int:
        """How many there are."""

    def rows(self, indices: Integers) -> Rows:
        """Those rows, in that order; a length of their own for each call is fine."""


@dataclass(frozen=True)
class Trained:
    """What a run ends in; complete on the first process, ``weights`` are empty on the others."""

    weights: dict[str, torch.Tensor]
    log: str
    metrics: Metrics
    is_main: bool
    """Whether this process is the one that publishes."""


class _Row(NamedTuple):
    step: int
    tokens: int
    loss: float
    learning_rate: float
    gradient_norm: float

    @property
    def line(self) -> str:
        # repr of a float gives back the same float: the log holds the losses in full.
        return ",".join(repr(value) for value in self)


def train(model: Any, data: Data, training: Training, *, steps: int, seed: int, area: Path, label: str) -> Trained:
    """Train ``model`` for ``steps`` steps, from its last checkpoint in ``area`` if there is one.

    Args:
        model: A causal language model of transformers, in float32.
        data: What to train on; epochs wrap, each in another order.
        training: Batches, precision, optimizer and schedule.
        steps: Length of the run.
        seed: Of the data's order, and of dropout where the model has any.
        area: Folder of the work area for this run's checkpoints, named for the run's identity.
        label: The stage's name, for progress.

    Raises:
        HeadwaterError: the data make no batch, the batch does not divide, the loss is not finite, or the process was
            asked to stop (SIGTERM; a checkpoint is saved first).
    """
    accelerator = distributed.start(model._no_split_modules)
    _check(training, len(data), accelerator.num_processes)
    run = _Run(accelerator, model, data, training, steps, seed)
    checkpoints = Checkpoints(area, accelerator, run.model, run.optimizer)
    done, lines = checkpoints.load()
    if done:
        run.tokens = int(lines[-1].split(",")[1])
        if accelerator.is_main_process:
            log(f"{label}: continues at step {done:,} of {steps:,}")
    else:
        lines = [HEADER]
    peak = matmul_peak(accelerator.device, training.precision) * accelerator.num_processes if done < steps else 0.0
    with distributed.stoppable() as stop, meter(label, steps, "tokens", done) as progress:
        for step in range(done, steps):
            row, positions, stopping = run.step(step, stop)
            lines.append(row.line)
            used = progress.rate * run.flops / peak if progress.rate else 0.0
            progress.advance(positions, 1, f"loss {row.loss:.3f}, {used:.0%} of matmul peak")
            if step + 1 == steps or (step + 1) % profile().saving.every == 0 or stopping:
                checkpoints.save(step + 1, lines)
            if stopping and step + 1 < steps:
                raise HeadwaterError(f"told to stop; saved at step {step + 1:,} of {steps:,}, run again to continue")
    return run.result(lines)


def _check(training: Training, rows: int, processes: int) -> None:
    batch, micro = training.batch_sequences, training.micro_batch
    if batch % (micro * processes):
        raise HeadwaterError(
            f"params.yaml: batch_sequences is {batch}, which does not divide into micro-batches of {micro} on "
            f"{processes} process{'es' * (processes > 1)}"
        )
    if rows < batch:
        raise HeadwaterError(f"{rows} rows to train on are too few for one batch of {batch}: lower batch_sequences")


class _Run:
    """Model, optimizer and data of a run, and what one step does with them."""

    def __init__(
        self, accelerator: Accelerator, model: Any, data: Data, training: Training, steps: int, seed: int
    ) -> None:
        self.accelerator, self.data, self.training, self.steps, self.seed = accelerator, data, training, steps, seed
        self.context = model.config.max_position_embeddings
        self.flops = flops_per_token(model, self.context)
        self.size = sum(parameter.numel() for parameter in model.parameters())
        self.tokens = 0
        optimizer = torch.optim.AdamW(
            _groups(model, training.weight_decay),
            lr=training.schedule.peak,
            betas=training.betas,
            eps=training.epsilon,
            fused=True,
        )
        # Scheduler and loader are not prepared: Accelerate would step and shard them once more for each process.
        model.set_attn_implementation(training.attention)
        self.model, prepared = accelerator.prepare(model.train(), optimizer)
        self.optimizer = prepared.optimizer
        self.parameters = list(self.model.parameters())

    def step(self, step: int, stop: distributed.Stop) -> tuple[_Row, int, bool]:
        """Train on the batch of ``step``: its row, its positions, and whether a process was told to stop."""
        batches = self._batches(step)
        counts = [sum(int((rows.labels != IGNORED).sum()) for rows in batches), sum(r.input_ids.size for r in batches)]
        targets, positions = (int(count) for count in self._summed(counts))
        rate = learning_rate(self.training.schedule, step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # Dropout, where a model has it, repeats itself after a resume.
        torch.manual_seed(order.mixed(self.seed, step, self.accelerator.process_index))
        loss, stopping = self._summed([self._backward(batches, max(targets, 1)), stop.asked])
        norm = self.accelerator.clip_grad_norm_(self.parameters, self.training.clip)
        norm = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise HeadwaterError(f"loss {loss} with gradient norm {norm} at step {step + 1:,}: lower schedule.peak")
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.tokens += positions
        return _Row(step + 1, self.tokens, loss, rate, norm), positions, bool(stopping)

    def _batches(self, step: int) -> list[Rows]:
        """This process's part of the batch, cut into micro-batches."""
        chosen = order.batch(step, size=self.training.batch_sequences, rows=len(self.data), seed=self.seed)
        mine = order.share(chosen, self.accelerator.process_index, self.accelerator.num_processes)
        return [self.data.rows(part) for part in mine.reshape(-1, self.training.micro_batch)]

    def _backward(self, batches: list[Rows], targets: int) -> float:
        """Add up the gradients of the mean loss over ``targets``; this process's part of that loss."""
        total = 0.0
        for number, rows in enumerate(batches):
            last = number + 1 == len(batches)
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                loss = self._loss(rows) / targets
                # FSDP2 takes the mean of the processes' gradients; the loss is a sum over all of them.
                self.accelerator.backward(loss * self.accelerator.num_processes)
            total += loss.item()
        return total

    def _loss(self, rows: Rows) -> torch.Tensor:
        device = self.accelerator.device
        inputs, labels = (torch.from_numpy(part).to(device, non_blocking=True) for part in rows)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.training.precision == "bf16"):
            logits = self.model(input_ids=inputs, use_cache=False).logits
        return cross_entropy(logits, labels)

    def _summed(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes."""
        totals = torch.tensor(values, dtype=torch.float64, device=self.accelerator.device)
        return [float(total) for total in self.accelerator.reduce(totals, "sum")]

    def result(self, lines: list[str]) -> Trained:
        whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights = get_model_state_dict(self.model, options=whole)
        losses = [float(line.split(",")[2]) for line in lines[1:]]
        last = losses[-max(1, round(_LAST * len(losses))) :]
        rows, seen = len(self.data), min(len(self.data), self.steps * self.training.batch_sequences)
        metrics: Metrics = {
            "in": rows,
            "out": seen,
            "dropped": {"not_reached": rows - seen},
            "steps": self.steps,
            "tokens": self.tokens,
            "parameters": self.size,
            "flops": self.flops * self.tokens,
            "loss": math.fsum(last) / len(last),
        }
        return Trained(weights, "\n".join(lines) + "\n", metrics, self.accelerator.is_main_process)


def _groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters for AdamW: matrices decay, the scales of norms do not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
