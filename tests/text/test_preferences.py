"""Pairs of answers: what is read of a row, and what is refused."""

from typing import Any

import pytest

from stages.core.errors import HeadwaterError
from stages.text import preferences
from stages.text.conversations import Message
from stages.text.tables import Row
from tests.text.columns import COLUMNS


def pair(**values: Any) -> preferences.Pair:
    return preferences.pair(Row("a.jsonl, row 1", "in/a.jsonl: row 1", values), COLUMNS)


def test_a_prompt_is_text_or_messages() -> None:
    plain = pair(prompt="What is a weir?", chosen="A low dam.", rejected="A fish.")
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a weir?"}]
    turns = pair(prompt=asked, chosen="A low dam.", rejected="A fish.")
    assert plain.chosen.messages == (Message("user", "What is a weir?"), Message("assistant", "A low dam."))
    assert turns.rejected.messages[0].role == "system"
    assert turns.rejected.messages[1:] == plain.rejected.messages


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rejected": None}, r"column 'rejected' is empty"),
        ({"chosen": " "}, r"column 'chosen' is empty"),
        ({"chosen": 3}, r"column 'chosen' is not text: 3"),
        ({"rejected": "A low dam."}, r"'chosen' and 'rejected' are the same"),
        ({"prompt": 5}, r"'prompt' must be text or a list of messages"),
        ({"prompt": [{"role": "assistant", "content": "Yes."}]}, r"message 1 is out of turn"),
    ],
)
def test_a_bad_row_is_named(changes: dict[str, Any], said: str) -> None:
    values = {"prompt": "What is a weir?", "chosen": "A low dam.", "rejected": "A fish."} | changes
    with pytest.raises(HeadwaterError, match=rf"^in/a\.jsonl: row 1: .*{said}"):
        pair(**values)
