"""Pairs of answers to learn from: a prompt, the answer that was chosen and the one that was rejected."""

from typing import NamedTuple

from stages.core.errors import HeadwaterError
from stages.core.examples import IGNORED, Example, Material
from stages.text import chat, tables
from stages.text.conversations import Conversation, messages
from stages.text.sampling import Given
from stages.text.tables import Columns, Row
from stages.text.tokenizers import Tokenizer


class Pair(NamedTuple):
    """The same conversation with two last answers."""

    source: str
    """File and row."""
    chosen: Conversation
    rejected: Conversation


def pair(row: Row, columns: Columns) -> Pair:
    """A row's pair: its prompt is text, or messages of which the user has the last; its answers are texts.

    Raises:
        HeadwaterError: it has no such column, nothing in it, or twice the same answer; names file and row.
    """
    prompt = tables.get(row, columns.prompt[0])
    before = [{"role": "user", "content": tables.text(row, columns.prompt[0])}] if isinstance(prompt, str) else prompt
    if not isinstance(before, list):
        raise HeadwaterError(f"{row.where}: {columns.prompt[0]!r} must be text or a list of messages")
    texts = [tables.text(row, column) for column in (columns.chosen, columns.rejected)]
    if texts[0] == texts[1]:
        raise HeadwaterError(f"{row.where}: {columns.chosen!r} and {columns.rejected!r} are the same")
    both = [messages([*before, {"role": "assistant", "content": text}], row.where) for text in texts]
    return Pair(row.source, *(Conversation(row.source, turns) for turns in both))


def encoded(given: Given[Pair], tokenizer: Tokenizer, limit: int) -> Material:
    """All pairs of which both conversations have at most ``limit`` tokens, of each the chosen answer, then the rejected
    one; the last answers are learned.

    Raises:
        HeadwaterError: there is nothing to learn from.
    """
    learned, tested = ([_examples(one, tokenizer, limit) for one in rows] for rows in (given.learned, given.tested))
    fitting = [one for pair in learned for one in pair]
    dropped = given.dropped | {"too_long": sum(not one for one in learned)}
    if not fitting:
        raise HeadwaterError(
            f"nothing to learn from, of {given.seen} seen; {given.learned[0].source} does not fit the model's context"
        )
    counts = {"in": given.seen, "out": len(fitting) // 2, "dropped": dropped}
    return Material(fitting, [one for pair in tested for one in pair], counts, given.paths)


def _examples(pair: Pair, tokenizer: Tokenizer, limit: int) -> list[Example]:
    """The pair, or nothing where it does not fit."""
    found = []
    for conversation in (pair.chosen, pair.rejected):
        one = chat.encode(tokenizer, conversation, limit)
        if one is None or one.cut:
            return []
        last = len(one.ids) - one.learned[::-1].index(False)
        labels = [IGNORED] * (last - 1) + one.ids[last:]
        found.append(Example(pair.source, one.ids[:-1], labels))
    return found
