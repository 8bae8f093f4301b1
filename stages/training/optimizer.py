"""Optimizers: AdamW for everything, or Muon for the matrices of layers and AdamW for the rest."""

from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from stages.training import learner
from stages.training.settings import Training

# The root mean square of an update as AdamW's, so that its learning rate and weight decay fit (arXiv 2502.16982).
_MATCHED = "match_rms_adamw"


def make(module: learner.Learner, training: Training) -> list[torch.optim.Optimizer]:
    """The optimizers of a run; every parameter belongs to one of them."""
    parameters = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    inner = {id(parameter) for parameter in learner.layers(module.model).parameters() if parameter.ndim == 2}
    matrices = [p for p in parameters.values() if id(p) in inner] if training.optimizer == "muon" else []
    rest = [p for p in parameters.values() if training.optimizer == "adamw" or id(p) not in inner]
    decay = training.weight_decay
    adamw = torch.optim.AdamW(
        [
            {"params": [p for p in rest if p.ndim >= 2], "weight_decay": decay},
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=training.schedule.peak,
        betas=training.betas,
        eps=training.epsilon,
        fused=True,
    )
    if not matrices:
        return [adamw]
    rate, momentum = training.schedule.peak, training.momentum
    return [adamw, Muon(matrices, lr=rate, weight_decay=decay, momentum=momentum, adjust_lr_fn=_MATCHED)]


class Muon(torch.optim.Muon):
    """PyTorch's Muon, also for matrices that FSDP2 has sharded.

    The update of a matrix is a function of the whole of it. A sharded one is gathered and made orthogonal on every
    process, which keeps its part; momentum and weights stay sharded. PyTorch's own takes sharded matrices too, but
    gathers them in each product, sums in another order and fails on one that has fewer rows than there are processes.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Update every matrix."""
        if not any(isinstance(parameter, DTensor) for parameter in self.param_groups[0]["params"]):
            super().step(closure)
            return
        (group,) = self.param_groups
        for parameter in group["params"]:
            momentum = self.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter.grad))
            momentum.lerp_(parameter.grad, 1 - group["momentum"])
            update = parameter.grad.lerp(momentum, group["momentum"])
            change = _orthogonal(update.full_tensor(), group["lr"])
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(distribute_tensor(change, parameter.device_mesh, parameter.placements, src_data_rank=None))


def _orthogonal(update: torch.Tensor, rate: float) -> torch.Tensor:
    """What Muon adds to a matrix for an update: a step of PyTorch's from zero, without momentum and decay."""
    whole = nn.Parameter(torch.zeros_like(update))
    whole.grad = update
    torch.optim.Muon([whole], lr=rate, weight_decay=0.0, momentum=0.0, nesterov=False, adjust_lr_fn=_MATCHED).step()
    return whole.detach()
