"""Chat form: conversations as token ids, with a mark on what is to be learned."""

from stages.text.answers import Encoded
from stages.text.conversations import Conversation
from stages.text.tokenizers import ASSISTANT, BEGIN, END_OF_TURN, SYSTEM, USER, Tokenizer

_ROLES = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}


def encode(tokenizer: Tokenizer, conversation: Conversation, limit: int) -> Encoded | None:
    """``<s>``, then ``<|role|> content <|end|>`` for each message: the tokens of the tokenizer's chat template.

    A conversation of more than ``limit`` tokens ends with the last answer that fits whole; None if there is none.
    The content is only text: a literal ``<|end|>`` in it ends nothing.
    """
    ids, learned = [BEGIN], [False]
    whole = 0
    for role, content in conversation.messages:
        turn = [*tokenizer.encode(content), END_OF_TURN]
        ids += [_ROLES[role], *turn]
        learned += [False, *[role == "assistant"] * len(turn)]
        if len(ids) > limit:
            break
        if role == "assistant":
            whole = len(ids)
    return Encoded(conversation.source, ids[:whole], learned[:whole], cut=whole < len(ids)) if whole else None
