"""Conversations to learn from: their messages, checked, and the JSON lines that a user brings them in."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stages.core.errors import HeadwaterError

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


def draw(conversations: Sequence[Conversation], most: int, seed: int) -> list[Conversation]:
    """At most ``most`` of the conversations, drawn by a hash of seed and source, in the order of the draw."""
    return sorted(conversations, key=lambda conversation: draw_key(conversation.source, seed))[:most]


def draw_key(source: str, seed: int) -> int:
    """A random number that depends on nothing but source and seed: what comes or goes beside it does not matter."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{source}".encode(), digest_size=8).digest(), "big")


def read(paths: Sequence[Path]) -> Iterator[Conversation]:
    """The conversations of files with one JSON object a line: ``{"messages": [{"role": …, "content": …}, …]}``.

    A system message may come first, then user and assistant take turns, and the assistant has the last word. Other keys
    are passed over.

    Raises:
        HeadwaterError: a line is something else; names file, row and what is wrong.
    """
    for path in paths:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield Conversation(f"{path.name}, row {number}", _parse(line, f"{path}: row {number}"))


def _parse(line: bytes, where: str) -> tuple[Message, ...]:
    try:
        row = json.loads(line.decode("utf-8-sig").rstrip())
    except UnicodeDecodeError as error:
        raise HeadwaterError(f"{where}: not UTF-8: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise HeadwaterError(f"{where}: not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise HeadwaterError(f"{where}: nested too deep") from None
    messages = row.get("messages") if isinstance(row, dict) else None
    if not isinstance(messages, list) or not messages:
        raise HeadwaterError(f'{where}: needs a key "messages" with a list of messages')
    turns = tuple(_message(message, f"{where}: message {number}") for number, message in enumerate(messages, start=1))
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
    if any("\ud800" <= character <= "\udfff" for character in content):
        raise HeadwaterError(f"{where}: holds half of a surrogate pair, which is no character")
    return Message(role, content)
