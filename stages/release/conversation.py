"""Conversations as token ids: the template's control tokens are tokens, what people write in a turn is only text."""

import re
from collections.abc import Sequence
from typing import Any

from stages.core.errors import HeadwaterError
from stages.release.transformers_folder import encode

Message = dict[str, str]
"""``role`` (system, user, assistant) and ``content``."""

# Stands for the content of a message while the template is rendered; control characters are in no template.
_PLACE = "\x1a{}\x1a"
_PLACES = re.compile("\x1a([0-9]+)\x1a")


def prompt(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Ids of a conversation, ready for the assistant's next turn.

    The template is rendered around placeholders, so that a literal ``<|end|>`` in a message cannot end its turn.

    Raises:
        HeadwaterError: the tokenizer has no chat template.
    """
    if not tokenizer.chat_template:
        raise HeadwaterError(f"{tokenizer.name_or_path}: the tokenizer has no chat template, so the model cannot chat")
    held = [message | {"content": _PLACE.format(index)} for index, message in enumerate(messages)]
    rendered = tokenizer.apply_chat_template(held, tokenize=False, add_generation_prompt=True)
    ids: list[int] = []
    for index, part in enumerate(_PLACES.split(rendered)):
        if index % 2:
            ids += encode(tokenizer, messages[int(part)]["content"])
        else:
            ids += tokenizer.encode(part, add_special_tokens=False)
    return ids


def fitting(tokenizer: Any, messages: Sequence[Message], room: int) -> tuple[list[Message], list[int]]:
    """The latest messages whose prompt has at most ``room`` tokens, and that prompt; system messages are always kept.

    Turns are left out in pairs from the oldest on, so that the conversation still begins with the user.

    Raises:
        HeadwaterError: not even the last message fits.
    """
    system = [message for message in messages if message["role"] == "system"]
    turns = [message for message in messages if message["role"] != "system"]
    while len(ids := prompt(tokenizer, [*system, *turns])) > room:
        if len(turns) <= 2:
            raise HeadwaterError(
                f"that is {len(ids)} tokens, and the model has room for {max(room, 0)} before its answer"
            )
        turns = turns[2:]
    return [*system, *turns], ids
