"""Next-token loss without a second or third copy of the logits."""

from typing import Any

import torch

IGNORED = -100
"""Label of a position that has no target."""

# Positions at a time: 256 of them in float32 stay in a core's cache for vocabularies of thousands.
_CHUNK = 256


class _CrossEntropy(torch.autograd.Function):
    """Sum of the cross-entropies; makes the gradient while it has the probabilities, a chunk in float32 at a time."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        gradient = torch.empty_like(logits)
        total = torch.zeros((), dtype=torch.float32, device=logits.device)
        for start in range(0, len(logits), _CHUNK):
            here = slice(start, start + _CHUNK)
            wanted = labels[here].unsqueeze(1)
            counted = wanted != IGNORED
            wanted = wanted.clamp(min=0)
            likely = torch.log_softmax(logits[here].float(), dim=1)
            total -= (likely.gather(1, wanted) * counted).sum()
            chances = likely.exp_()
            chances.scatter_add_(1, wanted, torch.full_like(wanted, -1, dtype=torch.float32))
            gradient[here] = chances * counted
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0].to(gradient.dtype), None


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sum over all targets of -ln p(target), in float32.

    Args:
        logits: (batch, sequence, vocabulary), of any float type; the gradient has the same type.
        labels: (batch, sequence), the id that follows each position, or ``IGNORED``.
    """
    result: torch.Tensor = _CrossEntropy.apply(logits.flatten(0, 1), labels.flatten())
    return result
