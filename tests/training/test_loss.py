"""The loss that never holds the logits whole, against PyTorch's own."""

from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from stages.training import loss
from stages.training.loss import Penalties, output_loss

PLAIN = Penalties(z_loss=0.0, label_smoothing=0.0)
POSITIONS, WIDTH, VOCABULARY = 211, 24, 97


def example() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states, weight, bias, labels."""
    generator = torch.Generator().manual_seed(0)
    hidden, weight, bias = (
        torch.randn(*shape, generator=generator).requires_grad_()
        for shape in ((POSITIONS, WIDTH), (VOCABULARY, WIDTH), (VOCABULARY,))
    )
    return hidden, weight, bias, torch.randint(VOCABULARY, (POSITIONS,), generator=generator)


def reference(logits: torch.Tensor, labels: torch.Tensor, penalties: Penalties) -> torch.Tensor:
    logits = logits.float()
    smoothed = functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=penalties.label_smoothing)
    return smoothed + penalties.z_loss * logits.logsumexp(1).square().sum()


@pytest.mark.parametrize("penalties", [PLAIN, Penalties(0.01, 0.0), Penalties(0.0, 0.1), Penalties(0.02, 0.2)])
@pytest.mark.parametrize("product", [loss._PRODUCT, 10 * VOCABULARY])
@pytest.mark.parametrize("some", [False, True])
def test_loss_and_gradients_are_those_of_pytorch(
    monkeypatch: pytest.MonkeyPatch, penalties: Penalties, product: int, some: bool
) -> None:
    monkeypatch.setattr(loss, "_PRODUCT", product)
    monkeypatch.setattr(loss, "_CHUNK", 7 * VOCABULARY)
    hidden, weight, bias, labels = example()
    where = torch.arange(0, POSITIONS, 3) if some else None
    chosen = torch.arange(POSITIONS) if where is None else where
    ours, entropy = output_loss(hidden, weight, bias, labels[chosen], where, kind=torch.float32, penalties=penalties)
    logits = functional.linear(hidden, weight, bias)[chosen]
    theirs = reference(logits, labels[chosen], penalties)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)
    torch.testing.assert_close(entropy, reference(logits, labels[chosen], PLAIN), rtol=1e-5, atol=0)
    found = torch.autograd.grad(ours / 7, (hidden, weight, bias))
    expected = torch.autograd.grad(theirs / 7, (hidden, weight, bias))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_in_bfloat16_gradients_are_as_close_to_the_true_ones_as_those_of_pytorch() -> None:
    hidden, weight, _, labels = example()
    true = torch.autograd.grad(reference(functional.linear(hidden, weight), labels, PLAIN), (hidden, weight))
    ours, _ = output_loss(hidden, weight, None, labels, None, kind=torch.bfloat16, penalties=PLAIN)
    with torch.autocast("cpu", torch.bfloat16):
        theirs = reference(functional.linear(hidden, weight), labels, PLAIN)
    for mine, usual, exact in zip(
        torch.autograd.grad(ours, (hidden, weight)), torch.autograd.grad(theirs, (hidden, weight)), true, strict=True
    ):
        assert mine.dtype == torch.float32
        assert (mine - exact).norm() < 1.2 * (usual - exact).norm()


def test_without_a_target_there_is_nothing_to_learn() -> None:
    hidden, weight, _, _ = example()
    none = torch.zeros(0, dtype=torch.int64)
    ours, entropy = output_loss(hidden, weight, None, none, none, kind=torch.float32, penalties=PLAIN)
    assert ours.item() == entropy.item() == 0
    assert not any(gradient.any() for gradient in torch.autograd.grad(ours, (hidden, weight)))


class Counted(TorchDispatchMode):
    """Counts the softmaxes that are asked for."""

    softmaxes = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.softmaxes += operation is torch.ops.aten._softmax.default
        return operation(*args, **kwargs or {})


@pytest.mark.parametrize(("device", "pieces"), [("cpu", 8), ("meta", 1)])
def test_an_accelerator_is_given_the_probabilities_of_a_product_in_one_piece(device: str, pieces: int) -> None:
    vocabulary = loss._CHUNK // 32
    logits, labels = torch.empty(256, vocabulary, device=device), torch.zeros(256, dtype=torch.int64, device=device)
    with Counted() as counted:
        loss._sums_and_gradient(logits, labels, PLAIN)
    assert counted.softmaxes == pieces
