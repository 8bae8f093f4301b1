"""Chat form: conversations as token ids, with a mark on what is to be learned."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.text.conversations import Message
from stages.text.packing import best_fit
from stages.text.tokenizers import ASSISTANT, BEGIN, END_OF_TURN, PAD, SYSTEM, USER, Tokenizer

_ROLES = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}


class Encoded(NamedTuple):
    """A conversation in chat form."""

    ids: list[int]
    learned: list[bool]
    """Which ids are to be learned: those of answers, and the ``<|end|>`` of each."""
    cut: bool
    """Whether turns at the end were left out."""


def encode(tokenizer: Tokenizer, messages: Sequence[Message], limit: int) -> Encoded | None:
    """``<s>``, then ``<|role|> content <|end|>`` for each message: the tokens of the tokenizer's chat template.

    A conversation of more than ``limit`` tokens ends with the last answer that fits whole; None if there is none.
    The content is only text: a literal ``<|end|>`` in it ends nothing.
    """
    ids, learned = [BEGIN], [False]
    whole = 0
    for role, content in messages:
        turn = [*tokenizer.encode(content), END_OF_TURN]
        ids += [_ROLES[role], *turn]
        learned += [False, *[role == "assistant"] * len(turn)]
        if len(ids) > limit:
            break
        if role == "assistant":
            whole = len(ids)
    return Encoded(ids[:whole], learned[:whole], cut=whole < len(ids)) if whole else None


def pack(
    conversations: Sequence[Encoded], width: int, ignored: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[list[int]]]:
    """Rows of whole conversations, packed best-fit: input ids and labels, both of shape (rows, ``width`` - 1), and the
    numbers of the conversations in each row.

    Args:
        conversations: None of more than ``width`` tokens.
        width: Tokens of a row; each but the last is an input, each but the first can be a label.
        ignored: Label where the next id is not to be learned.
    """
    packed = best_fit([len(conversation.ids) for conversation in conversations], width)
    rows = np.full((packed.rows, width), PAD, dtype=np.int64)
    labels = np.full((packed.rows, width), ignored, dtype=np.int64)
    members: list[list[int]] = [[] for _ in range(packed.rows)]
    for row, start, which, length in zip(packed.row, packed.start, packed.document, packed.length, strict=True):
        ids = np.array(conversations[which].ids)
        rows[row, start : start + length] = ids
        labels[row, start : start + length] = np.where(conversations[which].learned, ids, ignored)
        members[row].append(int(which))
    return rows[:, :-1], labels[:, 1:], members
