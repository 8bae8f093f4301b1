"""How well classes, tags and numbers are told: figures with their standard error and 95 % interval.

Every figure of classes is a function of the confusion matrix, and those of tags of sums over sentences, which is what
makes a bootstrap of a thousand draws cost milliseconds.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.scoring import uncertainty
from stages.scoring.uncertainty import Numbers

Classes = npt.NDArray[np.int64]


def classes(true: Classes, guessed: Classes, names: Sequence[str]) -> dict[str, Any]:
    """Accuracy, precision, recall and F1, of each class and in the mean over classes; micro averages are the accuracy.

    A class that is never guessed has precision 0. ``confusion`` says of each class as what its rows were taken, and
    ``majority`` is the accuracy of always guessing the commonest class.

    Args:
        true: (rows,)
        guessed: (rows,)
        names: Of the classes.
    """
    count = len(names)
    cells, counts = np.unique(true * count + guessed, return_counts=True)
    places = (cells // count, cells % count, np.where(cells // count == cells % count, cells % count, count))

    def sums(rows: Numbers) -> Numbers:
        """Of each class the rows that are of it, that were said to be, and both."""
        return np.concatenate([np.bincount(place, rows, count + 1)[:count] for place in places])

    found = uncertainty.of_counts(counts.astype(np.float64), sums, lambda drawn: _figures(drawn, names))
    by_class = {name: {kind: found.pop(f"{kind} {name}") for kind in _KINDS} for name in names}
    confusion: dict[str, dict[str, int]] = {name: {} for name in names}
    for row, column, number in zip(*places[:2], counts, strict=True):
        confusion[names[row]][names[column]] = int(number)
    majority = float(np.bincount(true).max() / len(true))
    return {**found, "by_class": by_class, "confusion": confusion, "majority": majority, "rows": len(true)}


_KINDS = ("precision", "recall", "f1")


def _figures(sums: Numbers, names: Sequence[str]) -> dict[str, Numbers]:
    true, guessed, right = np.split(sums, 3, axis=1)
    of_class = dict(zip(_KINDS, _told(right, guessed, true), strict=True))
    figures = {"accuracy": right.sum(1) / true.sum(1)}
    figures |= {f"{kind}_macro": values.mean(1) for kind, values in of_class.items()}
    return figures | {f"{kind} {name}": of_class[kind][:, at] for kind in _KINDS for at, name in enumerate(names)}


def _told(right: Numbers, guessed: Numbers, true: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Precision, recall and F1 of counts; 0 where nothing was guessed, or nothing was there to be."""
    parts = ((right, guessed), (right, true), (2 * right, guessed + true))
    precision, recall, f1 = (np.divide(a, b, out=np.zeros_like(a), where=b > 0) for a, b in parts)
    return precision, recall, f1


def tags(true: Sequence[Sequence[str]], guessed: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Precision, recall and F1 of entities, micro over all and for each type, and the share of words with their tag.

    An entity is right if its type, its first and its last word are (Tjong Kim Sang and De Meulder, CoNLL-2003).

    Args:
        true: For each sentence the tags of its words: IOB, IOB2, IOBES or BILOU; any other tag is its own type.
        guessed: The same.
    """
    here, there = ([set(entities(sentence)) for sentence in given] for given in (true, guessed))
    types = sorted({kind for found in (*here, *there) for kind, _, _ in found})
    sums = [_sums(one, other, types) for one, other in zip(here, there, strict=True)]
    words = [
        (sum(a == b for a, b in zip(one, other, strict=True)), len(one))
        for one, other in zip(true, guessed, strict=True)
    ]
    found = uncertainty.of_sums(np.hstack([words, sums]).astype(np.float64), lambda rows: _entities(rows, types))
    by_type = {name: {kind: found.pop(f"{kind} {name}") for kind in _KINDS} for name in types}
    return {**found, "by_type": by_type, "entities": sum(map(len, here)), "rows": len(true)}


def _sums(true: set[Any], guessed: set[Any], types: Sequence[str]) -> list[int]:
    """Entities that are right, guessed and there: first of all types, then of each."""
    sets = (true & guessed, guessed, true)
    return [len(one) for one in sets] + [sum(entity[0] == kind for entity in one) for kind in types for one in sets]


def _entities(sums: Numbers, types: Sequence[str]) -> dict[str, Numbers]:
    figures = {"word_accuracy": sums[:, 0] / sums[:, 1]}
    for at, name in enumerate(("", *types)):
        values = _told(*sums[:, 2 + 3 * at : 5 + 3 * at].T)
        figures |= {f"{kind} {name}".strip(): value for kind, value in zip(_KINDS, values, strict=True)}
    return figures


def entities(sentence: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Type, first and last word of each entity of a sentence, as conlleval finds them.

    ``B-X`` begins one, so does ``I-X`` after another type; ``E-X`` and ``L-X`` end one, ``S-X`` and ``U-X`` do both.
    """
    start, kind = 0, ""
    for place, tag in enumerate([*sentence, "O"]):
        mark, dash, rest = tag.partition("-")
        here = "" if tag == "O" else rest if dash else tag
        before = sentence[place - 1][:2] if place else ""
        if kind and (here != kind or mark in ("B", "S", "U") or before in ("E-", "L-", "S-", "U-")):
            yield kind, start, place - 1
            kind = ""
        if here and not kind:
            start, kind = place, here


def scores(true: Numbers, guessed: Numbers) -> dict[str, Any]:
    """Mean squared and absolute error, and how alike the order is: Pearson's and Spearman's correlation.

    A correlation with numbers that are all the same is 0. ``mean`` is the squared error of always guessing the mean.

    Args:
        true: (rows,)
        guessed: (rows,)
    """
    error = guessed - true
    pairs = [(true - true.mean(), guessed - guessed.mean()), (ranks(true), ranks(guessed))]
    # With ranks among all rows, a correlation is a function of sums, and a draw of rows need not be ranked anew.
    products = [part for a, b in pairs for part in (a, b, a * a, b * b, a * b)]
    rows = np.column_stack([np.ones(len(true)), error**2, np.abs(error), *products])
    found = uncertainty.of_sums(rows, _errors)
    return {**found, "mean": {"mse": float(true.var())}, "rows": len(true)}


def _errors(sums: Numbers) -> dict[str, Numbers]:
    means = sums[:, 1:] / sums[:, :1]
    figures = {"mse": means[:, 0], "mae": means[:, 1]}
    for name, at in (("pearson", 2), ("spearman", 7)):
        a, b, aa, bb, ab = means[:, at : at + 5].T
        spread = np.sqrt(np.clip(aa - a * a, 0, None) * np.clip(bb - b * b, 0, None))
        figures[name] = np.divide(ab - a * b, spread, out=np.zeros_like(ab), where=spread > 1e-12)
    return figures


def ranks(values: Numbers) -> Numbers:
    """Ranks from 0 on, centred; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place] - (len(values) - 1) / 2
