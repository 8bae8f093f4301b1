"""A scaling law: how a loss falls with size, fitted to some sizes and asked about the next."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.core.errors import HeadwaterError

FORM = "L(x) = E + A / x^a"

_EXPONENTS = (0.005, 4.0)  # what is looked at; Chinchilla (arXiv:2203.15556) found 0.34 for parameters
_STEPS = 400
_ROUNDS = 5


@dataclass(frozen=True)
class Law:
    """L(x) = E + A / x^a: what cannot be learned, and what falls as a power of the size.

    The first of the two terms of Chinchilla's L(N, D) = E + A / N^a + B / D^b (Hoffmann et al., arXiv:2203.15556, form
    of its third approach): with as many tokens for each size, B / D^b is in E.
    """

    floor: float
    """E, in the loss's unit, at least 0."""
    scale: float
    """A."""
    exponent: float
    """a."""

    def at(self, size: float) -> float:
        """The loss of a size."""
        return float(self.floor + self.scale * size**-self.exponent)


def fit(sizes: Sequence[float], losses: Sequence[float]) -> Law:
    """The law with the least sum of squared relative errors; it meets three sizes exactly where any such law does.

    For each exponent the other two follow by linear least squares; exponents are looked at on a grid that is made
    finer around the best.

    Args:
        sizes: At least three, all different.
        losses: Of each.

    Raises:
        HeadwaterError: losses do not fall with the size.
    """
    x, y = np.asarray(sizes, float), np.asarray(losses, float)
    assert len(x) >= 3
    middle = float(np.exp(np.log(x).mean()))  # sizes around 1, so that powers of them stay near it too
    low, high = _EXPONENTS
    for _ in range(_ROUNDS):
        grid = np.geomspace(low, high, _STEPS)
        errors = [_linear(x / middle, y, exponent)[0] for exponent in grid]
        best = int(np.argmin(errors))
        low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _STEPS - 1)])
    exponent = float(grid[best])
    _, floor, scale = _linear(x / middle, y, exponent)
    if scale <= 0:
        shown = ", ".join(f"{loss:.6g} at {size:,.0f}" for size, loss in zip(sizes, losses, strict=True))
        raise HeadwaterError(f"the loss does not fall with the size ({shown}): no law is fitted to that")
    return Law(floor, scale * middle**exponent, exponent)


def _linear(
    x: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    y: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    exponent: float,
) -> tuple[float, float, float]:
    """Squared relative error, floor and scale of the best law with an exponent, neither of the two below 0."""
    power = x**-exponent
    columns = np.stack([1 / y, power / y], axis=1)
    floor, scale = np.linalg.lstsq(columns, np.ones_like(y), rcond=None)[0]
    if floor < 0 or scale < 0:
        alone = [(column @ np.ones_like(y)) / (column @ column) for column in columns.T]
        only_floor, only_scale = (alone[0], 0.0), (0.0, alone[1])
        floor, scale = min(only_floor, only_scale, key=lambda one: _error(columns, one))
    return _error(columns, (floor, scale)), float(floor), float(scale)


def _error(columns: "np.ndarray[tuple[int, int], np.dtype[np.float64]]", found: tuple[float, float]) -> float:
    return float(((columns @ np.array(found) - 1) ** 2).sum())
