"""Cross-entropy of a model's output layer, which never holds the logits of all positions at once."""

from typing import Any, NamedTuple

import torch

# Logits of one product, 8 MB in bfloat16. On two cores at 1,024 positions of width 192 and 4,096 ids a pass forward and
# backward takes 35 ms, with an eighth of it 48, with whole logits 40; torch.nn.functional.linear_cross_entropy 141.
_PRODUCT = 2**22
_PRODUCT_ACCELERATOR = 2**26  # an accelerator is busy only with larger ones; 128 MB in bfloat16

# Probabilities at a time, 2 MB in float32: fewer and calls cost more, more and they leave the core's cache. An
# accelerator takes those of a product at once: of 16,384 targets and 32,000 ids these would be 1,024 pieces.
_CHUNK = 2**19

# Below it the logarithm of a float32 probability is no number; a target as unlikely as that costs 87 nats.
_LEAST = 1e-38


class Penalties(NamedTuple):
    """What is added to the cross-entropy of a target; 0 adds nothing."""

    z_loss: float
    """Times the squared logarithm of the softmax's denominator (PaLM, arXiv 2204.02311, section 5)."""
    label_smoothing: float
    """Share of the target's probability that is spread over the vocabulary (Szegedy et al., arXiv 1512.00567)."""


class _OutputLoss(torch.autograd.Function):
    """Sums over targets; makes both gradients while it has the probabilities, a chunk in float32 at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        where: torch.Tensor | None,
        kind: torch.dtype,
        penalties: Penalties,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.kinds = (hidden.dtype, weight.dtype, None if bias is None else bias.dtype)
        ctx.shape, ctx.where = hidden.shape, where
        if where is not None:  # positions without a target cost nothing
            hidden = hidden[where]
        hidden, weight = hidden.to(kind), weight.to(kind)
        to_hidden = torch.empty_like(hidden)
        to_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        to_bias = torch.zeros(len(weight), dtype=torch.float32, device=weight.device)
        sums = torch.zeros(2, dtype=torch.float32, device=hidden.device)
        length = max(1, (_PRODUCT if hidden.device.type == "cpu" else _PRODUCT_ACCELERATOR) // len(weight))
        for start in range(0, len(hidden), length):
            part = hidden[start : start + length]
            logits = part @ weight.T if bias is None else torch.addmm(bias.to(kind), part, weight.T)
            sums += _sums_and_gradient(logits, labels[start : start + length], penalties)
            torch.mm(logits, weight, out=to_hidden[start : start + length])
            to_weight += logits.T @ part
            if bias is not None:
                to_bias += logits.sum(0, dtype=torch.float32)
        ctx.save_for_backward(to_hidden, to_weight, to_bias)
        objective, cross_entropy = sums[0].clone(), sums[1].clone()  # FSDP2 warns of views
        ctx.mark_non_differentiable(cross_entropy)
        return objective, cross_entropy

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, bias = ctx.saved_tensors
        scale = outer[0]
        hidden = hidden.to(ctx.kinds[0]).mul_(scale)
        if ctx.where is not None:
            hidden = torch.zeros(ctx.shape, dtype=hidden.dtype, device=hidden.device).index_copy_(0, ctx.where, hidden)
        to_bias = None if ctx.kinds[2] is None else (bias * scale).to(ctx.kinds[2])
        return hidden, (weight * scale).to(ctx.kinds[1]), to_bias, None, None, None, None


def _sums_and_gradient(logits: torch.Tensor, labels: torch.Tensor, penalties: Penalties) -> torch.Tensor:
    """Sums of the objective and of the cross-entropy; ``logits`` are overwritten with the objective's gradient."""
    sums = torch.zeros(2, dtype=torch.float32, device=logits.device)
    z_loss, smoothing = penalties
    vocabulary = logits.shape[1]
    length = max(1, _CHUNK // vocabulary) if logits.device.type == "cpu" else len(logits)
    for start in range(0, len(logits), length):
        here = slice(start, start + length)
        wanted = labels[here].unsqueeze(1)
        chances = torch.softmax(logits[here], dim=1, dtype=torch.float32)
        entropy = -chances.gather(1, wanted).clamp_(min=_LEAST).log_().sum()
        objective = (1 - smoothing) * entropy
        gradient = chances
        if z_loss or smoothing:
            scores = logits[here].float()
            normaliser = scores.logsumexp(1, keepdim=True)
            objective = objective + z_loss * normaliser.square().sum()
            objective = objective + smoothing * (normaliser - scores.mean(1, keepdim=True)).sum()
            gradient = chances.mul_(1 + 2 * z_loss * normaliser).sub_(smoothing / vocabulary)
        gradient.scatter_add_(1, wanted, torch.full_like(wanted, smoothing - 1, dtype=torch.float32))
        logits[here] = gradient
        sums += torch.stack([objective, entropy])
    return sums


def output_loss(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    labels: torch.Tensor,
    where: torch.Tensor | None,
    *,
    kind: torch.dtype,
    penalties: Penalties,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums over all targets, in float32: the objective, which can be differentiated, and the cross-entropy in it.

    Args:
        hidden: (positions, width), what the output layer multiplies.
        weight: (vocabulary, width), of the output layer.
        bias: (vocabulary,), of the output layer, if it has one.
        labels: (targets,), the ids to predict.
        where: (targets,), the position of each; None: all positions have a target.
        kind: Type of the matrix products.
        penalties: Added to the cross-entropy.
    """
    objective, cross_entropy = _OutputLoss.apply(hidden, weight, bias, labels, where, kind, penalties)
    return objective, cross_entropy
