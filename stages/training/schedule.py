"""The learning rate as a pure function of the step."""

import math
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from stages.core.params import Share, params


@params
class Schedule:
    """A linear warm-up to the peak, then a fall to ``final`` of it by the last step."""

    shape: Literal["cosine", "linear", "wsd"]
    """cosine and linear fall from the end of the warm-up on (Loshchilov and Hutter, arXiv 1608.03983; Defazio et al.,
    arXiv 2310.07831); wsd stays at the peak and falls linearly at the end (Hu et al., arXiv 2404.06395; Hägele et al.,
    arXiv 2405.18392)."""
    peak: PositiveFloat
    """Highest learning rate."""
    warmup: NonNegativeInt
    """Steps until the peak."""
    decay: Share
    """Share of the steps in which wsd falls, 0–1; the other shapes have no use for it."""
    final: NonNegativeFloat
    """Learning rate at the end, as a share of the peak."""


def learning_rate(schedule: Schedule, step: int, steps: int) -> float:
    """Learning rate of ``step``, counted from 0, in a run of ``steps``.

    The first step has 1 / warmup of the peak, the step after the last would have ``final`` of it.
    """
    if step < schedule.warmup:
        return schedule.peak * (step + 1) / schedule.warmup
    length = steps - schedule.warmup
    if schedule.shape == "wsd":
        length = min(length, math.ceil(schedule.decay * steps))
    left = min(1.0, (steps - step) / max(length, 1))
    height = (1 - math.cos(math.pi * left)) / 2 if schedule.shape == "cosine" else left
    return schedule.peak * (schedule.final + (1 - schedule.final) * height)
