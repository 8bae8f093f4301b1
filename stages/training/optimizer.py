"""Optimizers: AdamW for everything, or Muon for the matrices of layers and AdamW for the rest."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from stages.training import learner
from stages.training.settings import Training

# The root mean square of an update as AdamW's, so that its learning rate and weight decay fit (arXiv 2502.16982).
_MATCHED = "match_rms_adamw"


def make(module: learner.Learner, training: Training) -> list[torch.optim.Optimizer]:
    """The optimizers of a run; every parameter belongs to one of them."""
    parameters = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    inner = {id(p) for p in learner.layers(module.model).parameters() if learner.is_matrix(p)}
    matrices = [p for p in parameters.values() if id(p) in inner] if training.optimizer == "muon" else []
    rest = [p for p in parameters.values() if training.optimizer == "adamw" or id(p) not in inner]
    decay, rate = training.weight_decay, training.schedule.peak
    groups = [
        {"params": [p for p in rest if learner.is_matrix(p)], "weight_decay": decay},
        {"params": [p for p in rest if not learner.is_matrix(p)], "weight_decay": 0.0},
    ]
    made: list[torch.optim.Optimizer] = []
    # An adapter may leave a group empty, which torch writes into a checkpoint and cannot always read.
    if groups := [group for group in groups if group["params"]]:
        made.append(torch.optim.AdamW(groups, lr=rate, betas=training.betas, eps=training.epsilon, fused=True))
    if matrices:
        made.append(Muon(matrices, lr=rate, weight_decay=decay, momentum=training.momentum, adjust_lr_fn=_MATCHED))
    return made


class Muon(torch.optim.Muon):
    """PyTorch's Muon, its work shared by the processes that train together.

    The update of a matrix is a function of the whole of it, and costs as much as many products. So each process makes
    its share of the matrices orthogonal, in turn: of those that FSDP2 has sharded it gathers the rows and sends every
    process its own, those that DDP keeps everywhere it sends to all. Momentum and weights stay where they are.

    PyTorch's own makes all of them on every process; sharded ones it gathers in each product, sums in another order and
    fails on one that has fewer rows than there are processes.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Update every matrix."""
        processes = dist.get_world_size() if dist.is_initialized() else 1
        (group,) = self.param_groups
        sharded = isinstance(group["params"][0], DTensor)
        if processes == 1 and not sharded:
            super().step(closure)
            return
        # Alike ones at a time, so that nobody waits.
        by_size = sorted(group["params"], key=torch.Tensor.numel, reverse=True)
        for start in range(0, len(by_size), processes):
            self._update(by_size[start : start + processes], group, _shared if sharded else _sent)

    def _update(self, parameters: list[torch.Tensor], group: dict[str, Any], share: "_Share") -> None:
        """Update at most as many matrices as there are processes; each process makes one of them orthogonal."""
        updates = []
        for parameter in parameters:
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter.grad)
            momentum, gradient = _local(state["momentum_buffer"]), _local(parameter.grad)
            momentum.lerp_(gradient, 1 - group["momentum"])
            updates.append(gradient.lerp(momentum, group["momentum"]))
        changes = share(updates, parameters, group["lr"])
        for parameter, change in zip(parameters, changes, strict=True):
            _local(parameter).mul_(1 - group["lr"] * group["weight_decay"]).add_(change)


_Share = Callable[[list[torch.Tensor], list[Any], float], list[torch.Tensor]]


def _local(tensor: Any) -> torch.Tensor:
    """What this process has of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _sent(updates: list[torch.Tensor], matrices: list[torch.Tensor], rate: float) -> list[torch.Tensor]:
    """What Muon adds to some matrices that every process has; see :func:`_shared`."""
    rank = dist.get_rank()
    changes = [torch.empty_like(update) for update in updates]
    if rank < len(changes):
        changes[rank] = _orthogonal(updates[rank], rate)
    for sending in [dist.broadcast(change, owner, async_op=True) for owner, change in enumerate(changes)]:
        sending.wait()
    return changes


def _shared(updates: list[torch.Tensor], matrices: list[DTensor], rate: float) -> list[torch.Tensor]:
    """This process's rows of what Muon adds to some matrices.

    Args:
        updates: This process's rows of the update of each matrix.
        matrices: At most as many as there are processes: the first process takes the first, and so on.
        rate: Learning rate.
    """
    processes = matrices[0].device_mesh.get_group()
    count, rank = dist.get_world_size(processes), dist.get_rank(processes)
    mine = matrices[rank].shape if rank < len(matrices) else torch.Size((0, 0))
    # FSDP2 cuts rows into chunks as large as the first; the last ones may be smaller, or empty.
    chunk = -(-mine[0] // count)
    received = [max(0, min(chunk, mine[0] - other * chunk)) * mine[1] for other in range(count)]
    sent = [update.numel() for update in updates] + [0] * (count - len(updates))
    flat = torch.cat([update.flatten() for update in updates])
    whole = flat.new_empty(sum(received))
    dist.all_to_all_single(whole, flat, received, sent, group=processes)
    if whole.numel():
        whole = _orthogonal(whole.view(mine), rate).flatten()
    dist.all_to_all_single(flat, whole, sent, received, group=processes)
    return [part.view_as(update) for part, update in zip(flat.split(sent[: len(updates)]), updates, strict=True)]


def _orthogonal(update: torch.Tensor, rate: float) -> torch.Tensor:
    """What Muon adds to a matrix for an update: a step of PyTorch's from zero, without momentum and decay."""
    whole = nn.Parameter(torch.zeros_like(update))
    whole.grad = update
    torch.optim.Muon([whole], lr=rate, weight_decay=0.0, momentum=0.0, nesterov=False, adjust_lr_fn=_MATCHED).step()
    return whole.detach()
