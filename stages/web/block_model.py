"""Whether a block is part of a page's main text: gradient-boosted symmetric trees, evaluated for all blocks at once.

In a symmetric tree all nodes of a level ask the same question (CatBoost: Prokhorenkova et al., NeurIPS 2018), so that a
tree is a handful of comparisons of whole columns and one look-up. Leaves are whole numbers and probabilities come out
of a table: the same features give the same decisions on every machine.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.errors import HeadwaterError

Array = np.ndarray[Any, Any]

_FILE = "block_model.npz"

UNIT = 1 << 12
"""Leaves count in 4,096ths of a unit of log odds."""

_LIMIT = 8 * UNIT  # log odds beyond which a probability does not change


@dataclass(frozen=True)
class Model:
    """Trees, and what they were trained on."""

    names: tuple[str, ...]  # of the features, in the order of the table's rows
    questions: Array  # (depth, trees) feature
    borders: Array  # (depth, trees) float32: the answer is yes above
    leaves: Array  # (trees * 2^depth,) int32
    bias: int
    about: dict[str, Any]  # sets, seeds, versions, figures

    def probabilities(self, table: Array) -> Array:
        """Of each block to be main text, 0-1.

        Args:
            table: (features, blocks), float32.
        """
        depth, trees = self.questions.shape
        leaf = np.zeros((trees, table.shape[1]), np.int32)
        for level in range(depth):
            leaf |= (table[self.questions[level]] > self.borders[level][:, None]).astype(np.int32) << level
        leaf += (np.arange(trees, dtype=np.int32) << depth)[:, None]
        odds = self.leaves[leaf].sum(0) + self.bias
        return _sigmoid()[np.clip(odds, -_LIMIT, _LIMIT) + _LIMIT]


@functools.cache
def load() -> Model:
    """The model of the project.

    Raises:
        HeadwaterError: the file is missing or is not what this code reads.
    """
    path = Path(__file__).with_name(_FILE)
    return read(path)


def read(path: Path) -> Model:
    """A model from its file.

    Raises:
        HeadwaterError: the file is missing or is not a model.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return Model(
                names=tuple(file["names"].tolist()),
                questions=file["questions"],
                borders=file["borders"],
                leaves=file["leaves"].ravel(),
                bias=int(file["bias"]),
                about=json.loads(str(file["about"])),
            )
    except (OSError, ValueError, KeyError) as error:
        raise HeadwaterError(f"{path}: not a model of text blocks ({error}); take the project's own again") from None


def write(model: Model, path: Path) -> None:
    """Store a model without pickle: arrays, names and a JSON text."""
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            names=np.array(model.names),
            questions=model.questions.astype(np.int16),
            borders=model.borders.astype(np.float32),
            leaves=model.leaves.astype(np.int32),
            bias=np.int64(model.bias),
            about=np.array(json.dumps(model.about, sort_keys=True)),
        )


@functools.cache
def _sigmoid() -> Array:
    """Probability by log odds from -_LIMIT to _LIMIT, rounded far above what libraries disagree about."""
    odds = np.arange(-_LIMIT, _LIMIT + 1) / UNIT
    return np.round(1 / (1 + np.exp(-odds)), 6)
