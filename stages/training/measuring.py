"""What a trained model makes of rows that it was not trained on, and how much that differs from fold to fold."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from stages.core.errors import HeadwaterError
from stages.core.order import Permutation
from stages.core.shards import Metrics
from stages.training.data import Data
from stages.training.learner import Making
from stages.training.settings import Training

_FOLDS = -2
"""The epoch whose order deals rows out to folds."""


@torch.no_grad()
def loss(model: Any, data: Data, training: Training, making: Making) -> float:
    """Mean cross-entropy over the targets of all rows, or mean squared error, in float32.

    Args:
        model: On any device; it is left fit to predict.
        data: The rows, as they were read.
        training: How it was trained.
        making: Gives the model its objective.
    """
    exact = dataclasses.replace(training, precision="fp32", compile=False, activation_checkpointing=False)
    learner = making(model, exact).eval()
    total, targets = 0.0, 0
    for start in range(0, len(data), training.micro_batch):
        indices = np.arange(start, min(start + training.micro_batch, len(data)))
        rows = data.rows(indices, -1 - indices)
        total += learner(*learner.arguments(rows, model.device)).cross_entropy.item()
        targets += learner.targets(rows)
    return total / max(targets, 1)


def folds(rows: int, count: int, seed: int) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """The numbers of the rows of each fold, which differ in size by at most one.

    Raises:
        HeadwaterError: there are fewer rows than folds.
    """
    if rows < count:
        raise HeadwaterError(f"params.yaml: finetune.folds is {count}, of {rows} rows: lower it, or bring more rows")
    dealt = Permutation(rows, seed, _FOLDS)(np.arange(rows))
    return [np.sort(dealt[fold::count]) for fold in range(count)]


def spread(found: Sequence[Mapping[str, Any]]) -> Metrics:
    """Mean and standard deviation over folds of every figure that all of them have, by its name."""
    flat = [dict(_flat(one)) for one in found]
    shared = [name for name in flat[0] if all(name in one for one in flat)]
    columns = {name: np.array([one[name] for one in flat]) for name in shared}
    return {name: {"mean": float(one.mean()), "std": float(one.std(ddof=1))} for name, one in columns.items()}


def _flat(figures: Mapping[str, Any], above: str = "") -> list[tuple[str, float]]:
    """Numbers by their path, and of a figure with a standard error its value."""
    flat: list[tuple[str, float]] = []
    for name, figure in figures.items():
        if isinstance(figure, Mapping):
            own = {"": figure["value"]} if "value" in figure else figure
            flat += _flat(own, f"{above}{name}.")
        elif isinstance(figure, (int, float)):
            flat.append((f"{above}{name}".rstrip("."), float(figure)))
    return flat
