"""Conversations that a user brings: what is taken, and what is refused by file and row."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages.core.errors import HeadwaterError
from stages.text import conversations, sampling, tables
from stages.text.conversations import Conversation, Message
from tests.text.columns import COLUMNS

QUESTION, ANSWER = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}


def line(*messages: Any) -> str:
    """One row of a file."""
    return json.dumps({"messages": messages})


def read(file: Path) -> list[Conversation]:
    """The conversations of a file."""
    return [conversations.conversation(row, COLUMNS) for row in tables.read([file], COLUMNS)]


def test_rows_are_read_in_order_with_their_places(tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be brief."}
    file = tmp_path / "a.jsonl"
    file.write_text(f"\ufeff{line(QUESTION, ANSWER)}\r\n\n{line(system, QUESTION, ANSWER, QUESTION, ANSWER)}", "utf-8")
    first, second = read(file)
    assert first == Conversation("a.jsonl, row 1", (Message("user", "Why?"), Message("assistant", "Because.")))
    assert second.source == "a.jsonl, row 3"
    assert [message.role for message in second.messages] == ["system", "user", "assistant", "user", "assistant"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "not JSON: .* at column 2"),
        ("[" * 100_000, "nested too deep|not JSON"),
        ("[]", "needs an object with keys"),
        ('{"message": []}', "has no column 'messages'; did you mean 'message'?"),
        (line(), "needs a list of messages, one or more"),
        (line("Why?"), "message 1 must be an object"),
        (line({"content": "Why?"}), "message 1: 'role' is missing"),
        (line(QUESTION, {"role": "assistant"}), "message 2: 'content' is missing"),
        (line({"role": "user", "content": 7}), "message 1: 'content' is not text"),
        (
            line({"role": "human", "content": "Why?"}),
            "message 1: unknown role 'human'; roles are system, user, assistant",
        ),
        (line(QUESTION, {"role": "assistant", "content": " \n"}), "message 2: the assistant's content is empty"),
        (line(QUESTION, QUESTION, ANSWER), "message 2 is out of turn: user speaks, assistant is next"),
        (line(ANSWER), "message 1 is out of turn: assistant speaks, user is next"),
        (line(QUESTION, {"role": "system", "content": "Hm"}, ANSWER), "message 2 is out of turn: system speaks"),
        (line(QUESTION, ANSWER, QUESTION), "the last message is the user's; the assistant has to answer"),
        (line({"role": "user", "content": "\ud800"}, ANSWER), "message 1: holds half of a surrogate pair"),
    ],
)
def test_a_wrong_row_is_named(row: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "b.jsonl"
    file.write_text(f"{line(QUESTION, ANSWER)}\n{row}\n", "utf-8")
    with pytest.raises(HeadwaterError, match=rf"b\.jsonl: row 2: ({message})"):
        list(read(file))


def test_a_row_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_bytes(b'{"messages": "\xff"}\n')
    with pytest.raises(HeadwaterError, match=r"c\.jsonl: row 1: not UTF-8: invalid start byte at byte 14"):
        list(read(tmp_path / "c.jsonl"))


def test_the_draw_of_a_conversation_does_not_depend_on_the_others() -> None:
    many = [Conversation(f"a.jsonl, row {number}", ()) for number in range(50)]
    drawn = sampling.draw(many, 20, seed=1)
    assert len(set(drawn)) == 20
    assert sampling.draw(many[:30], 50, seed=1) == [one for one in sampling.draw(many, 50, seed=1) if one in many[:30]]
    assert sampling.draw(many, 20, seed=2) != drawn
