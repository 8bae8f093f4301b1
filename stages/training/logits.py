"""What is made of logits a chunk at a time, for objectives that need more of them than a cross-entropy."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

# Logits in float32 at a time, 32 MB: with their softmax and its gradient they are held three times over.
_CHUNK = 2**23

Layer = tuple[torch.Tensor, torch.Tensor | None]
"""Weight (vocabulary, width) and bias (vocabulary,) of an output layer."""


def layer(model: Any) -> Layer:
    """The output layer of a language model."""
    head = model.get_output_embeddings()
    return head.weight, head.bias


def in_chunks(
    function: Callable[..., torch.Tensor],
    layers: Sequence[Layer],
    hidden: Sequence[torch.Tensor],
    labels: torch.Tensor,
    kind: torch.dtype,
) -> torch.Tensor:
    """What ``function`` makes of logits, which are computed again in the backward pass and never held whole.

    Args:
        function: From logits in float32, (targets, vocabulary) for each of the models, and labels, (targets,), to some
            figures of each target, (targets, …).
        layers: Output layer of each of the models.
        hidden: (targets, width) for each of the models, what its output layer multiplies.
        labels: (targets,)
        kind: Type of the matrix products.
    """

    def part(labels: torch.Tensor, *hidden: torch.Tensor) -> torch.Tensor:
        logits = []
        for (weight, bias), seen in zip(layers, hidden, strict=True):
            product = seen.to(kind) @ weight.to(kind).T
            logits.append((product if bias is None else product + bias.to(kind)).float())
        return function(*logits, labels)

    length = max(1, _CHUNK // len(layers[0][0]))
    parts = [
        checkpoint(
            part,
            labels[start : start + length],
            *(one[start : start + length] for one in hidden),
            use_reentrant=False,
            preserve_rng_state=False,
        )
        for start in range(0, max(1, len(labels)), length)
    ]
    return torch.cat(parts)
