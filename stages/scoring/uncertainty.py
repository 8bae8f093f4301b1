"""How far a figure would be another on other rows of the same kind: the bootstrap (Efron and Tibshirani 1993).

Where no row speaks against a figure of 0 or 1, every draw gives it again: its error is 0, and that says nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

SAMPLES = 1000
"""Draws of rows, with replacement, each as many as there are."""

_SEED = 0
_INTERVAL = (2.5, 97.5)  # percentiles


def of_counts(
    counts: Numbers, sums: Callable[[Numbers], Numbers], measure: Callable[[Numbers], Mapping[str, Numbers]]
) -> dict[str, Any]:
    """Figures that are functions of how many rows are of which kind, such as those of a confusion matrix.

    To draw rows with replacement is to draw from the multinomial distribution of their kinds.

    Args:
        counts: (kinds,), rows of each.
        sums: Adds up counts, shape (sums,).
        measure: Figures of several such sums, shape (draws, sums), each of shape (draws,).
    """
    total = int(counts.sum())
    generator = np.random.default_rng(_SEED)
    drawn = [sums(generator.multinomial(total, counts / total).astype(np.float64)) for _ in range(SAMPLES)]
    return _told(measure(sums(counts)[None]), measure(np.stack(drawn)))


def of_sums(rows: Numbers, measure: Callable[[Numbers], Mapping[str, Numbers]]) -> dict[str, Any]:
    """Figures that are functions of sums over rows.

    Args:
        rows: (rows, sums)
        measure: Figures of several rows of sums, shape (draws, sums), each of shape (draws,).
    """
    generator = np.random.default_rng(_SEED)
    even = np.full(len(rows), 1 / len(rows))
    # No matrix product: its last digits depend on where its arrays happen to lie in memory.
    drawn = np.stack([(generator.multinomial(len(rows), even)[:, None] * rows).sum(0) for _ in range(SAMPLES)])
    return _told(measure(rows.sum(0)[None]), measure(drawn))


def _told(found: Mapping[str, Numbers], drawn: Mapping[str, Numbers]) -> dict[str, Any]:
    return {
        name: {
            "value": float(value[0]),
            "stderr": float(drawn[name].std(ddof=1)),
            "interval": [float(end) for end in np.percentile(drawn[name], _INTERVAL)],
        }
        for name, value in found.items()
    }
