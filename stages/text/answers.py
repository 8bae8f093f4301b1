"""Answers to learn, in token ids: those of conversations and the completions of prompts."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from stages.core.errors import HeadwaterError
from stages.core.examples import IGNORED, Example
from stages.core.shards import Metrics
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


class Answers(NamedTuple):
    """What is learned from, and what is measured on."""

    learned: list[Encoded]
    tested: list[Encoded]
    counts: Metrics
    """``in``, ``out``, ``dropped``, ``cut`` and ``answer_tokens`` of what is learned from."""


class Encode(Protocol[Contravariant]):
    """Gives the ids of a row, at most ``limit``, or None where nothing of it fits."""

    def __call__(self, tokenizer: Tokenizer, row: Contravariant, /, limit: int) -> Encoded | None: ...


def encoded(given: Given[Item], encode: Callable[[Item], Encoded | None]) -> Answers:
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
        raise HeadwaterError(f"nothing to learn from, of {given.seen} seen" + f" ({reasons})" * bool(reasons))
    tokens = sum(sum(one.learned) for one in learned)
    counts = {"in": given.seen, "out": len(learned), "dropped": dropped, "cut": sum(one.cut for one in learned)}
    return Answers(learned, tested, counts | {"answer_tokens": tokens})


def pack(
    answers: Sequence[Encoded], width: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[list[str]]]:
    """Rows of whole conversations, packed best-fit: input ids and labels, both of shape (rows, ``width`` - 1), and the
    sources of each row.

    Args:
        answers: None of more than ``width`` tokens.
        width: Tokens of a row; each but the last is an input, each but the first can be a label.
    """
    packed = best_fit([len(one.ids) for one in answers], width)
    rows = np.full((packed.rows, width), tokenizers.PAD, dtype=np.int64)
    labels = np.full((packed.rows, width), IGNORED, dtype=np.int64)
    sources: list[list[str]] = [[] for _ in range(packed.rows)]
    for row, start, which, length in zip(packed.row, packed.start, packed.document, packed.length, strict=True):
        ids = np.array(answers[which].ids)
        rows[row, start : start + length] = ids
        labels[row, start : start + length] = np.where(answers[which].learned, ids, IGNORED)
        sources[row].append(answers[which].source)
    return rows[:, :-1], labels[:, 1:], sources


def apart(answers: Sequence[Encoded]) -> list[Example]:
    """A row for each, of a length of its own."""
    return [
        Example(
            one.source,
            one.ids[:-1],
            [token if wanted else IGNORED for token, wanted in zip(one.ids[1:], one.learned[1:], strict=True)],
        )
        for one in answers
    ]
