"""Answers to learn, in token ids: those of conversations and the completions of prompts."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from stages.core.errors import HeadwaterError
from stages.core.examples import IGNORED, Example, Material
from stages.core.tokens import pieces
from stages.text import tokenizers
from stages.text.packing import best_fit
from stages.text.sampling import Given, Item
from stages.text.tokenizers import Tokenizer

Contravariant = TypeVar("Contravariant", contravariant=True)


class Encoded(NamedTuple):
    """A conversation, or a prompt and its completion, in token ids."""

    source: str
    """Where it comes from."""
    ids: list[int]
    learned: list[bool]
    """Which ids are to be learned: those of answers, and what ends each."""
    cut: bool
    """Whether a part was left out."""


class Encode(Protocol[Contravariant]):
    """Gives the ids of a row, at most ``limit``, or None where nothing of it fits."""

    def __call__(self, tokenizer: Tokenizer, row: Contravariant, /, limit: int) -> Encoded | None: ...


def encoded(given: Given[Item], encode: Callable[[Item], Encoded | None]) -> Material:
    """All rows, but for those of which nothing fits.

    Args:
        given: The rows.
        encode: Gives the ids of one, or None.

    Raises:
        HeadwaterError: there is nothing to learn from.
    """
    learned, tested = ([one for one in map(encode, rows) if one] for rows in (given.learned, given.tested))
    dropped = given.dropped | {"too_long": len(given.learned) - len(learned)}
    if not learned:
        reasons = ", ".join(f"{reason} {count}" for reason, count in dropped.items() if count)
        long = f"; {given.learned[0].source} does not fit the model's context" if given.learned else ""
        raise HeadwaterError(f"nothing to learn from, of {given.seen} seen" + f" ({reasons})" * bool(reasons) + long)
    tokens = sum(sum(one.learned) for one in learned)
    counts = {"in": given.seen, "out": len(learned), "dropped": dropped, "cut": sum(one.cut for one in learned)}
    learning, testing = ([_example(one) for one in rows] for rows in (learned, tested))
    return Material(learning, testing, counts | {"answer_tokens": tokens}, given.paths)


def _example(one: Encoded) -> Example:
    labels = [token if wanted else IGNORED for token, wanted in zip(one.ids[1:], one.learned[1:], strict=True)]
    return Example(one.source, one.ids[:-1], labels, cut=one.cut)


class Block(NamedTuple):
    """Rows of one length, in which several conversations may share a row."""

    inputs: npt.NDArray[np.int64]
    """(rows, width)"""
    labels: npt.NDArray[np.int64]
    """(rows, width), as :attr:`~stages.core.examples.Example.labels`."""
    documents: npt.NDArray[np.int64]
    """(rows, width): a number for each position, the same within a row that was packed."""
    sources: list[list[str]]
    """Of each row."""


def pack(examples: Sequence[Example], width: int) -> Block:
    """Rows of whole conversations, packed best-fit.

    Args:
        examples: None of more than ``width`` tokens.
        width: Tokens of a row.
    """
    packed = best_fit([len(one.ids) for one in examples], width)
    inputs = np.full((packed.rows, width), tokenizers.PAD, dtype=np.int64)
    labels = np.full((packed.rows, width), IGNORED, dtype=np.int64)
    sources: list[list[str]] = [[] for _ in range(packed.rows)]
    for row, start, which, length in zip(packed.row, packed.start, packed.document, packed.length, strict=True):
        inputs[row, start : start + length] = examples[which].ids
        labels[row, start : start + length] = examples[which].labels
        sources[row].append(examples[which].source)
    documents = pieces(inputs, begin=tokenizers.BEGIN, end=tokenizers.END)
    return Block(inputs, labels, documents, sources)
