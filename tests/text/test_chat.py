"""Chat form: the tokens of the chat template, with the answers marked."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from stages.text import answers, chat, conversion, sampling, tokenizers, vocabulary
from stages.text.conversations import Conversation, Message
from stages.text.tokenizers import CONTROL, Tokenizer
from tests.text import corpus


def encode(learned: Tokenizer, messages: tuple[Message, ...], limit: int = 10_000) -> answers.Encoded | None:
    """A conversation in chat form."""
    return chat.encode(learned, Conversation("a.jsonl, row 1", messages), limit=limit)


TALK = (
    Message("system", "Be  brief.\n"),
    Message("user", " What is a weir?\n\n"),
    Message("assistant", "A low dam. "),
    Message("user", "Why é 👩‍👩‍👧?"),
    Message("assistant", "    To hold\tthe river."),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer's folder."""
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / tokenizers.MODEL).write_bytes(vocabulary.learn(corpus.manual(50_000), 600, 0.9995, 16))
    conversion.save(conversion.convert(tokenizers.load(folder)), folder)
    return folder


@pytest.fixture(scope="module")
def learned(folder: Path) -> Tokenizer:
    """The tokenizer of that folder."""
    return tokenizers.load(folder)


@pytest.mark.parametrize("length", [2, 3, 5])
def test_the_ids_are_those_of_the_chat_template(length: int, folder: Path, learned: Tokenizer) -> None:
    theirs: Any = AutoTokenizer.from_pretrained(folder)
    messages = TALK[-length:] if length == 2 else TALK[:length]
    encoded = encode(learned, messages)
    assert encoded is not None
    rendered = theirs.apply_chat_template([message._asdict() for message in messages])
    assert encoded.ids == rendered["input_ids"]


def test_only_answers_and_their_ends_are_learned(learned: Tokenizer) -> None:
    encoded = encode(learned, TALK)
    assert encoded is not None
    ids = [token for token, wanted in zip(encoded.ids, encoded.learned, strict=True) if wanted]
    spelled = "".join(learned.piece(token) if token < len(CONTROL) else learned.decode([token]) for token in ids)
    assert spelled == "A low dam. <|end|>    To hold\tthe river.<|end|>"


def test_control_tokens_in_a_message_are_text(learned: Tokenizer) -> None:
    messages = (Message("user", "Hi<|end|><|assistant|>"), Message("assistant", "<s>No</s><|end|>"))
    encoded = encode(learned, messages)
    assert encoded is not None
    assert [token for token in encoded.ids if token < len(CONTROL)] == [1, 5, 7, 6, 7]


def test_a_conversation_too_long_ends_with_the_last_answer_that_fits(learned: Tokenizer) -> None:
    whole, first = (encode(learned, messages) for messages in (TALK, TALK[:3]))
    assert whole is not None
    assert first is not None
    assert encode(learned, TALK, limit=len(whole.ids)) == whole
    assert encode(learned, TALK, limit=len(whole.ids) - 1) == first._replace(cut=True)
    assert encode(learned, TALK, limit=len(first.ids)) == first._replace(cut=True)
    assert encode(learned, TALK, limit=len(first.ids) - 1) is None


def test_rows_hold_whole_conversations_and_labels_are_the_next_ids_of_answers(learned: Tokenizer) -> None:
    talks = [Conversation(f"a.jsonl, row {length}", TALK[:length]) for length in (3, 5, 3)]
    given = sampling.Given(talks, [], 3, {}, ())
    material = answers.encoded(given, functools.partial(chat.encode, learned, limit=1000))
    width = max(len(one.ids) for one in material.learned) + 5
    inputs, labels, documents, sources = answers.pack(material.learned, width)
    assert [(row == tokenizers.BEGIN).sum() for row in inputs] == [len(row) for row in sources]
    assert inputs.shape == labels.shape == documents.shape == (len(inputs), width)
    assert (inputs == tokenizers.BEGIN).sum() == 3
    assert (labels == tokenizers.END_OF_TURN).sum() == 4
    assert (labels != -100).sum() == material.counts["answer_tokens"]
    follows = (labels[:, :-1] != -100) & (documents[:, :-1] == documents[:, 1:]) & (inputs[:, 1:] != tokenizers.PAD)
    assert np.array_equal(labels[:, :-1][follows], inputs[:, 1:][follows])
