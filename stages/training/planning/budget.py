"""What a run takes in time and money, from its size, its tokens and the speed of its GPUs."""

from dataclasses import dataclass

from stages.training.planning.gpus import Gpu

CHINCHILLA = 20
"""Tokens for each parameter at which a given amount of arithmetic is best spent (Hoffmann et al., arXiv 2203.15556)."""

MFU = 0.33
"""Share of the peak that FSDP2 without torch.compile reached with Llama 3.1 8B on 8 H100 at a context of 8,192, with
part of the activations computed again (torchtitan, benchmarks/llama3_h100_202412_torchtitan.md)."""

_RECOMPUTED = 4 / 3
"""Arithmetic with activation checkpointing over that without: forward is a third of it and is done twice."""

DAY = 86400


@dataclass(frozen=True)
class Pace:
    """How fast a run goes."""

    tokens_per_second: float
    exchange: float
    """Least seconds in which the GPUs of a machine send each other the weights of a step's forward and backward passes
    and its gradients; the share of arithmetic that it does not exceed can hide it."""
    update: float
    """Least seconds in which the weights of a step are changed."""

    @property
    def tokens_per_day(self) -> float:
        return self.tokens_per_second * DAY


def pace(
    gpu: Gpu,
    *,
    count: int,
    mfu: float,
    parameters: int,
    matrices: int,
    precision: str,
    flops_per_token: int,
    passes: int,
    sums: int,
    recomputed: bool,
) -> Pace:
    """The speed of ``count`` GPUs.

    Args:
        gpu: Which.
        count: How many; the model is sharded over all of them.
        mfu: Share of their peak that goes into the model without activation checkpointing (model FLOPs utilisation).
        parameters: Of the model.
        matrices: Those of them that are matrices of its layers.
        precision: ``bf16``, or another.
        flops_per_token: Of the model, forward and backward.
        passes: Forward passes of a step of each GPU.
        sums: How often a step sums gradients over all GPUs.
        recomputed: Whether activations are computed again.
    """
    useful = mfu / _RECOMPUTED if recomputed else mfu
    # As distributed.laid has it: layers are gathered forward and backward, the rest once a pass; that and gradients are
    # float32.
    gathered = 2 * (2 if precision == "bf16" else 4) * matrices + 4 * (parameters - matrices)
    exchanged = (passes * gathered + sums * 4 * parameters) * (count - 1) / count  # each GPU sends and receives as much
    return Pace(
        tokens_per_second=count * gpu.peak * useful / flops_per_token,
        exchange=exchanged / (gpu.link_gb_s * 1e9 / 2),
        # AdamW reads weight, gradient and two means and writes all but the gradient, each of 4 bytes.
        update=7 * 4 * parameters / count / (gpu.memory_gb_s * 1e9),
    )


@dataclass(frozen=True)
class Bill:
    """What some tokens take."""

    tokens: int
    flops: float
    days: float
    gpu_hours: float
    usd: float | None
    """None where no price is known."""


def bill(tokens: int, *, pace: Pace, flops_per_token: int, count: int, price: float | None) -> Bill:
    """Time and cost of training on ``tokens`` with ``count`` GPUs at ``price`` dollars an hour each."""
    days = tokens / pace.tokens_per_day
    hours = days * 24 * count
    return Bill(tokens, float(tokens) * flops_per_token, days, hours, None if price is None else price * hours)
