"""Whether a block is part of a page's main text: gradient-boosted symmetric trees, evaluated for all blocks at once.

In a symmetric tree all nodes of a level ask the same question (CatBoost: Prokhorenkova et al., NeurIPS 2018), and trees
share questions: each is answered once for whole columns, a tree is a few bits of answers and one look-up. Leaves are
whole numbers and probabilities come out of a table: the same features give the same decisions on every machine.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.errors import HeadwaterError
from stages.web.pages.names import Lexicon

Array = np.ndarray[Any, Any]

_FILE = "block_model.npz"

UNIT = 1 << 12
"""Leaves count in 4,096ths of a unit of log odds."""

_TOGETHER = 256  # blocks: more at a time are slower, by a half at 1,000, because their answers leave the cache

_LIMIT = 8 * UNIT  # log odds beyond which a probability does not change


@dataclass(frozen=True)
class Trees:
    """Trees over one table of features."""

    names: tuple[str, ...]  # of the features, in the order of the table's rows
    questions: Array  # (depth, trees) feature
    borders: Array  # (depth, trees) float32: the answer is yes above
    leaves: Array  # (trees * 2^depth,) int32
    bias: int

    def chances(self, table: Array) -> Array:
        """Of each block to be main text, in millionths.

        Args:
            table: (features, blocks), float32.
        """
        parts = [self._odds(table[:, start : start + _TOGETHER]) for start in range(0, table.shape[1], _TOGETHER)]
        return _sigmoid()[np.clip(np.concatenate(parts), -_LIMIT, _LIMIT) + _LIMIT]

    @functools.cached_property
    def _asked(self) -> tuple[Array, Array, Array]:
        """The different questions, by feature and by border, and (depth, trees) which of them each tree asks."""
        every = np.stack((self.questions.ravel().astype(np.float32), self.borders.ravel()))
        (features, borders), which = np.unique(every, axis=1, return_inverse=True)
        return features.astype(np.intp), borders[:, None], which.reshape(self.questions.shape)

    def _odds(self, table: Array) -> Array:
        depth, trees = self.questions.shape
        features, borders, which = self._asked
        answers = (table.take(features, axis=0) > borders).view(np.uint8)
        leaf = answers.take(which[-1], axis=0)
        for level in reversed(range(depth - 1)):
            leaf += leaf
            leaf |= answers.take(which[level], axis=0)
        places = leaf + (np.arange(trees) << depth)[:, None]
        reached = self.leaves.take(places, mode="wrap")  # none is outside: no look whether one is
        return reached.sum(0, dtype=np.int32) + self.bias


@dataclass(frozen=True)
class Model:
    """Trees, and what is known of the names that they are told of."""

    trees: Trees
    lexicon: Lexicon
    about: dict[str, Any]  # sets, seeds, versions, figures

    @functools.cached_property
    def wanted(self) -> frozenset[str]:
        """Names of the features that the trees ask for."""
        return frozenset(self.trees.names)


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
            lexicon = Lexicon(dict(zip(file["names"].tolist(), file["shares"].tolist(), strict=True)))
            return Model(_trees(file), lexicon, json.loads(str(file["about"])))
    except (OSError, ValueError, KeyError) as error:
        raise HeadwaterError(f"{path}: not a model of text blocks ({error}); take the project's own again") from None


def _trees(file: Any) -> Trees:
    return Trees(
        names=tuple(file["features"].tolist()),
        questions=file["questions"],
        borders=file["borders"],
        leaves=file["leaves"],
        bias=int(file["bias"]),
    )


def write(model: Model, path: Path) -> None:
    """Store a model without pickle: arrays, names and a JSON text."""
    trees, shares = model.trees, model.lexicon.shares
    arrays = {
        "about": np.array(json.dumps(model.about, sort_keys=True)),
        "names": np.array(list(shares)),
        "shares": np.array(list(shares.values()), np.int16),
        "features": np.array(trees.names),
        "questions": trees.questions.astype(np.int16),
        "borders": trees.borders.astype(np.float32),
        "leaves": trees.leaves.astype(np.int32),
        "bias": np.array(trees.bias),
    }
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


@functools.cache
def _sigmoid() -> Array:
    """Chance in millionths by log odds from -_LIMIT to _LIMIT."""
    odds = np.arange(-_LIMIT, _LIMIT + 1) / UNIT
    return np.round(1e6 / (1 + np.exp(-odds))).astype(np.int64)
