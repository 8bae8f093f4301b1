"""Conversations to learn from: their messages, checked."""

from typing import Any, NamedTuple

from stages.core.errors import HeadwaterError
from stages.text import tables
from stages.text.tables import Columns, Row

ROLES = ("system", "user", "assistant")


class Message(NamedTuple):
    """One turn: who speaks (see ``ROLES``), and the text."""

    role: str
    content: str


class Conversation(NamedTuple):
    """Messages in turn."""

    source: str
    """Where they come from: file and row, or document and heading."""
    messages: tuple[Message, ...]


def conversation(row: Row, columns: Columns) -> Conversation:
    """A row's conversation: ``{"messages": [{"role": …, "content": …}, …]}``.

    A system message may come first, then user and assistant take turns, and the assistant has the last word. Other keys
    are passed over.

    Raises:
        HeadwaterError: the row holds something else; names file, row and what is wrong.
    """
    return Conversation(row.source, messages(tables.get(row, columns.messages), row.where))


def messages(given: Any, where: str) -> tuple[Message, ...]:
    """Messages in turn, of which the assistant has the last, from what a row holds.

    Raises:
        HeadwaterError: it holds something else; begins with ``where``.
    """
    if not isinstance(given, list) or not given:
        raise HeadwaterError(f"{where}: needs a list of messages, one or more")
    turns = tuple(_message(message, f"{where}: message {number}") for number, message in enumerate(given, start=1))
    expected = "user"
    for number, turn in enumerate(turns, start=1):
        if turn.role == "system" and number == 1:
            continue
        if turn.role != expected:
            raise HeadwaterError(f"{where}: message {number} is out of turn: {turn.role} speaks, {expected} is next")
        expected = "assistant" if expected == "user" else "user"
    if turns[-1].role != "assistant":
        raise HeadwaterError(f"{where}: the last message is the {turns[-1].role}'s; the assistant has to answer")
    return turns


def _message(message: Any, where: str) -> Message:
    if not isinstance(message, dict):
        raise HeadwaterError(f'{where} must be an object with "role" and "content"')
    for key in ("role", "content"):
        if not isinstance(message.get(key), str):
            raise HeadwaterError(f"{where}: {key!r} is {'not text' if key in message else 'missing'}")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise HeadwaterError(f"{where}: unknown role {role[:40]!a}; roles are {', '.join(ROLES)}")
    if not content.strip():
        raise HeadwaterError(f"{where}: the {role}'s content is empty")
    return Message(role, tables.whole(content, where))
