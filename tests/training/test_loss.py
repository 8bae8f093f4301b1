"""The loss that keeps no copy of the logits, against PyTorch's own."""

import pytest
import torch
from torch.nn import functional

from stages.training.loss import IGNORED, cross_entropy


def example(kind: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(3, 211, 97, generator=generator)
    labels = torch.randint(97, (3, 211), generator=generator)
    labels[:, ::5] = IGNORED
    return logits.to(kind).requires_grad_(), labels


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_loss_and_gradient_are_those_of_pytorch(kind: torch.dtype, tolerance: float) -> None:
    logits, labels = example(kind)
    ours = cross_entropy(logits, labels)
    (gradient,) = torch.autograd.grad(ours / 7, logits)
    theirs = functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="sum")
    (expected,) = torch.autograd.grad(theirs / 7, logits)
    assert gradient.dtype == kind
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=tolerance, atol=tolerance / 10)


def test_rows_without_a_target_cost_nothing_and_teach_nothing() -> None:
    logits, labels = example(torch.float32)
    loss = cross_entropy(logits, torch.full_like(labels, IGNORED))
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, logits)[0].any()
