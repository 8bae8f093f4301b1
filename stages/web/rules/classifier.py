"""A score of quality learnt from examples: texts that one wants more of, and texts that one wants less of.

A logistic regression over hashed runs of one and two words: what fastText is without its hidden layer (Joulin et al.
2016, arXiv:1607.01759; hashing: Weinberger et al. 2009, arXiv:0902.2206). In DCLM such a model chose text better than
any other way that was tried (Li et al. 2024, arXiv:2406.11794, section 4.4). Its words are those of the rules, so that
a score costs two look-ups for each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import xxhash
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from stages.core import arrays
from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.web.pages import language
from stages.web.rules import example_texts
from stages.web.rules.page import Page
from stages.web.rules.rule import AtLeast
from stages.web.rules.words import Vocabularies, Words


@params
class Training:
    """How a classifier is made."""

    positive: list[str]
    """Files and folders of texts that are wanted, in the folder of examples."""
    negative: list[str]
    """Files and folders of texts that are not."""
    bits: Annotated[int, Field(ge=1, le=30)]
    """The model has 2 to this power weights."""
    epochs: PositiveInt
    """Passes over the examples."""
    learning_rate: PositiveFloat
    """Of AdaGrad."""
    seed: NonNegativeInt
    """Of the order of the examples."""


@params
class Classifier:
    """What the score of quality is made by."""

    kind: Literal["none", "trained", "fasttext", "transformers"]
    """None; one trained on examples; a fastText file; a `transformers` model for sequence classification."""
    model: str
    """That file or folder, in the folder of examples."""
    label: str
    """The model's label whose probability is the score; empty where the model has a single output, which then is it."""
    training: Training
    """For a trained one."""


RULES = (AtLeast("quality", "quality", lambda limits: limits.min_quality),)

_HELD_OUT = 10  # one example in so many tells how good the model is
_BATCH = 64  # examples per step
_MIX = np.uint64(0xD6E8FEB86659FD93)  # odd; the highest bits of a product depend on all bits of the factors


class HashedModel:
    """The trained classifier.

    Args:
        weights: One for each bucket, and last the bias.
    """

    def __init__(self, weights: npt.NDArray[np.float32]) -> None:
        self._weights = weights
        self._bits = (len(weights) - 1).bit_length() - 1

    @classmethod
    def load(cls, path: Path) -> "HashedModel":
        """The model in a file made by :func:`train`."""
        return cls(np.load(path))

    def __call__(self, pages: Sequence[Page]) -> list[float]:
        """The probability for each page that it is one of those that are wanted."""
        return [
            float(_sigmoid(self._weights[buckets(page.words, self._bits)].mean() + self._weights[-1])) for page in pages
        ]


def buckets(words: Words, bits: int) -> npt.NDArray[np.int64]:
    """The numbers of the weights of a text: one for each word, and for each two in a row."""
    keys = np.concatenate([words.hashes, words.ngrams(2)])
    return ((keys * _MIX) >> np.uint64(64 - bits)).astype(np.int64)


@dataclass(frozen=True)
class Examples:
    """What a model is trained on: a unit of work whose first ``positive`` inputs hold the texts that are wanted."""

    training: Training
    positive: int


def train(examples: Examples, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> dict[str, Any]:
    """Train a model on the texts of ``inputs`` and write it.

    Of every ten examples one is held out, chosen by its text; the counts tell how well the model tells those apart. A
    text on both sides counts for neither.

    Raises:
        HeadwaterError: there are too few examples.
    """
    wanted, unwanted = (
        {text for path in side for text in example_texts.read(path) if text.strip()}
        for side in (inputs[: examples.positive], inputs[examples.positive :])
    )
    good, bad = sorted(wanted - unwanted), sorted(unwanted - wanted)
    if min(len(good), len(bad)) < 2 * _HELD_OUT:
        raise HeadwaterError(f"{len(good)} wanted and {len(bad)} unwanted examples are too few to learn from")
    features = _features([*good, *bad], examples.training.bits)
    labels = np.repeat([1.0, 0.0], [len(good), len(bad)])
    held_out = np.array([xxhash.xxh3_64_intdigest(text.encode()) % _HELD_OUT == 0 for text in [*good, *bad]])
    taken = np.flatnonzero(~held_out)
    weights = _fit([features[number] for number in taken], labels[taken], examples.training)
    arrays.save(outputs["model"], weights)
    marks = np.array([weights[features[number]].mean() + weights[-1] for number in np.flatnonzero(held_out)])
    return {
        "in": len(features),
        "positive": len(good),
        "negative": len(bad),
        "held_out": len(marks),
        "held_out_auc": round(_auc(marks, labels[held_out] == 1), 4),
    }


def _features(texts: Sequence[str], bits: int) -> list[npt.NDArray[np.int64]]:
    vocabularies = Vocabularies()
    features = []
    for text, (code, _) in zip(texts, language.Identifier()(texts, 5, 300), strict=True):
        page = Page(text, vocabularies.of(code), marks=False)
        features.append(buckets(page.words, bits))
    return features


def _fit(
    features: Sequence[npt.NDArray[np.int64]], labels: npt.NDArray[np.float64], training: Training
) -> npt.NDArray[np.float32]:
    """Weights and bias by AdaGrad, both sides weighing the same however many examples they have."""
    size = 1 << training.bits
    weights, squares = np.zeros(size + 1), np.full(size + 1, 1e-8)
    share = labels.mean()
    importance = np.where(labels == 1, 0.5 / share, 0.5 / (1 - share))
    draw = np.random.default_rng(training.seed)
    for _ in range(training.epochs):
        order = draw.permutation(len(features))
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            counts = np.array([len(features[number]) for number in batch])
            places = np.concatenate([features[number] for number in batch])
            sums = np.add.reduceat(weights[places], np.cumsum(counts) - counts)
            errors = (_sigmoid(sums / counts + weights[-1]) - labels[batch]) * importance[batch]
            gradient = np.bincount(places, np.repeat(errors / counts, counts), size + 1)
            gradient[-1] = errors.sum()
            squares += gradient * gradient
            weights -= training.learning_rate * gradient / np.sqrt(squares)
    return weights.astype(np.float32)


def _sigmoid(value: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(value, -30, 30)))


def _auc(marks: npt.NDArray[np.float32], wanted: npt.NDArray[np.bool_]) -> float:
    """The chance that a wanted text has a higher mark than an unwanted one; 0.5 without both."""
    if wanted.all() or not wanted.any():
        return 0.5
    above = marks[wanted][:, None] - marks[~wanted][None, :]
    return float((above > 0).mean() + (above == 0).mean() / 2)
