"""Model, optimizers and data of a training run, and what one step does with them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from stages.core import order
from stages.core.order import Integers
from stages.core.runtime import profile
from stages.training import distributed, learner, optimizer
from stages.training.averaging import Kept
from stages.training.data import Rows, Split
from stages.training.learner import Learner, Losses, Making
from stages.training.ranks import Ranks
from stages.training.schedule import learning_rate
from stages.training.settings import Training
from stages.training.spikes import Guard


class Step(NamedTuple):
    """What a step says of itself."""

    loss: float
    """Mean cross-entropy over the targets of the batch."""
    learning_rate: float
    gradient_norm: float
    """Before it is cut."""
    positions: int
    """Tokens that went through the model, padding included."""
    stopping: bool
    """Whether a process was told to stop."""
    spike: str | None
    """Why it was not learned from; None: it was."""


class Run:
    """A training run.

    Args:
        accelerator: The processes that train together.
        model: See :mod:`stages.training.model`.
        split: What it is trained and measured on.
        training: How.
        steps: Length of the run.
        seed: Of the data's order and of dropout.
        making: Gives the model its objective.
        ranks: Of AdaLoRA, where that changed the model.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: Any,
        split: Split,
        training: Training,
        steps: int,
        seed: int,
        making: Making = Learner,
        ranks: Ranks | None = None,
    ) -> None:
        self.accelerator, self.split, self.training, self.steps, self.seed = accelerator, split, training, steps, seed
        whole = making(model.train(), training)
        # The model alone: scheduler and loader Accelerate would step and shard once more for each process.
        self._prepared = distributed.laid(accelerator, whole, learner.layers(model), training)
        self.learner = distributed.bare(self._prepared)
        self.optimizers = optimizer.make(self.learner, training)
        self.parameters = list(self.learner.parameters())
        self.kept, self.ranks = Kept(self.learner, training, steps), ranks
        if ranks:
            ranks.move(accelerator.device)

    def step(self, step: int, guard: Guard, stop: distributed.Stop) -> Step:
        """Train on the batch of ``step``, counted from 0, unless the guard is against it."""
        batch = step + guard.passed
        batches = self._micro_batches(*self.split.batch(batch, self.training.batch_sequences))
        counts = [sum(map(self.learner.targets, batches)), sum(rows.input_ids.size for rows in batches)]
        targets, positions = (int(count) for count in self._summed(counts))
        rate = learning_rate(self.training.schedule, step, self.steps)
        for one in self.optimizers:
            for group in one.param_groups:
                group["lr"] = rate
        # Dropout, where a model has it, repeats itself after a resume.
        torch.manual_seed(order.mixed(self.seed, batch, self.accelerator.process_index))
        loss, stopping = self._summed([self._backward(batches, max(targets, 1)), stop.asked])
        if self.ranks:
            self.ranks.add_gradient()
        norm = self.accelerator.clip_grad_norm_(self.parameters, self.training.clip)
        norm = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
        spike = guard.judge(loss, norm)  # of sums over all processes: all come to the same
        if spike is None:
            for one in self.optimizers:
                one.step()
            if self.ranks:
                self.ranks.after(step + 1)
        for one in self.optimizers:
            one.zero_grad()
        return Step(loss, rate, norm, positions, bool(stopping), spike)

    def sources(self, batch: int) -> list[str]:
        """What a batch is made of."""
        indices, _ = self.split.batch(batch, self.training.batch_sequences)
        return self.split.data.sources(indices)

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Mean cross-entropy over the targets of the held-out rows."""
        indices, positions = self.split.held_out_rows()
        self.learner.eval()
        total, targets = 0.0, 0
        for rows in self._micro_batches(indices, positions):
            total += self._losses(self._prepared, rows).cross_entropy.item()
            targets += self.learner.targets(rows)
        self.learner.train()
        total, count = self._summed([total, targets])
        return total / max(count, 1)

    def weights(self) -> dict[str, torch.Tensor]:
        """The trained weights that the run ends in, whole, by names of the model; empty but on the first process."""
        self.kept.restore()
        whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
        found = learner.trained(self.learner, get_model_state_dict(self.learner, options=whole))
        return {name.removeprefix(learner.PREFIX): weights for name, weights in found.items()}

    def _micro_batches(self, indices: Integers, positions: Integers) -> list[Rows]:
        """This process's part of some rows, cut into micro-batches."""
        rank, ranks = self.accelerator.process_index, self.accelerator.num_processes
        mine, places = order.share(indices, rank, ranks), order.share(positions, rank, ranks)
        size = self.training.micro_batch
        cuts = [slice(start, start + size) for start in range(0, len(mine), size)]
        return [self.split.data.rows(mine[cut], places[cut]) for cut in cuts]

    def _backward(self, batches: list[Rows], targets: int) -> float:
        """Add up the gradients of the mean objective over ``targets``; this process's part of the cross-entropy."""
        entropies = []
        adversarial = self.training.adversarial
        # DDP gives copies of the embeddings, which get no gradient; what it is there for comes with the second pass.
        module = self.learner if adversarial else self._prepared
        for number, rows in enumerate(batches):
            last = number + 1 == len(batches)
            with self._summing(last and not adversarial):
                losses = self._losses(module, rows)
                if adversarial:
                    losses.embedded.retain_grad()
                self._add_gradient(losses, targets)
            if adversarial:
                change = worst(losses.embedded.grad, adversarial)
                with self._summing(last):
                    self._add_gradient(self._losses(self._prepared, rows, change), targets)
            entropies.append(losses.cross_entropy.detach())
        total = 0.0
        for entropy in entropies:  # only now: an accelerator need not end one pass before it is given the next
            total += entropy.item() / targets
        return total

    def _summing(self, last: bool) -> AbstractContextManager[None]:
        """Whether the backward pass inside sums gradients over all processes; the last one of a step does.

        The forward pass belongs inside too: it is there that DDP decides.
        """
        summed = last or (distributed.is_sharded(self.learner) and profile().gradient_sync == "pass")
        return nullcontext() if summed else self.accelerator.no_sync(self._prepared)

    def _add_gradient(self, losses: Losses, targets: int) -> None:
        # FSDP2 and DDP take the mean of the processes' gradients; the loss is a sum over all of them.
        self.accelerator.backward(losses.objective / targets * self.accelerator.num_processes)

    def _losses(self, module: Any, rows: Rows, change: torch.Tensor | None = None) -> Losses:
        losses: Losses = module(*self.learner.arguments(rows, self.accelerator.device), change)
        return losses

    def _summed(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes."""
        totals = torch.tensor(values, dtype=torch.float64, device=self.accelerator.device)
        summed: list[float] = self.accelerator.reduce(totals, "sum").tolist()
        return summed


def worst(gradient: torch.Tensor | None, norm: float) -> torch.Tensor:
    """The change of that norm to each row's embeddings which, to first order, raises its loss the most."""
    assert gradient is not None
    lengths = torch.linalg.vector_norm(gradient.float(), dim=(1, 2), keepdim=True)
    return (norm / lengths.clamp(min=1e-30) * gradient).detach()
