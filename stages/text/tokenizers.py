"""The tokenizer: text to ids and back, sentencepiece or byte-level BPE; text never becomes a control token."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import sentencepiece
from tokenizers import Tokenizer as Fast

from stages.core.errors import HeadwaterError

MODEL = "tokenizer.model"
"""The sentencepiece model; a byte-level tokenizer has none."""

FAST = "tokenizer.json"
"""What ``tokenizers`` and ``transformers`` read; of a byte-level tokenizer, all there is."""

UNKNOWN, BEGIN, END, PAD, SYSTEM, USER, ASSISTANT, END_OF_TURN = range(8)
"""Ids of the control tokens, the same in every vocabulary; the bytes 0–255 follow, then what was learned."""

CONTROL = ("<unk>", "<s>", "</s>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
"""The control tokens by id."""

FIRST_LEARNED = len(CONTROL) + 256
"""The first id that was learned."""


class Tokenizer(ABC):
    """Text to ids and back."""

    vocab_size: int

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of the text alone: no control token is added, and a literal ``<s>`` stays text."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids; control tokens have none, bytes that are no UTF-8 become U+FFFD."""

    @abstractmethod
    def piece(self, token: int) -> str:
        """How the vocabulary spells a token."""

    def survives(self, text: str) -> str:
        """What encoding and decoding leave of a text: all of it, with the exceptions that a kind has."""
        return text


class SentencePiece(Tokenizer):
    """A sentencepiece model: any text to ids and back without loss.

    The one exception is sentencepiece's own: ``▁`` (U+2581), which stands for a space in its pieces, comes back as one.
    """

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        self.processor = processor
        self.vocab_size: int = processor.get_piece_size()

    def encode(self, text: str) -> list[int]:
        """See :meth:`Tokenizer.encode`."""
        return self.processor.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """See :meth:`Tokenizer.decode`."""
        return self.processor.decode([int(token) for token in ids])

    def piece(self, token: int) -> str:
        """How the vocabulary spells a token: ``▁`` for a space, ``<0x0A>`` for a byte."""
        return self.processor.id_to_piece(token)

    def survives(self, text: str) -> str:
        """The text with spaces for ``▁``."""
        return text.replace("▁", " ")


class ByteLevel(Tokenizer):
    """Byte-pair encoding over the bytes of UTF-8, as GPT-2 has it: any text to ids and back without loss."""

    def __init__(self, fast: Fast) -> None:
        self.fast = fast
        self.fast.encode_special_tokens = True  # a literal "<s>" is text
        self.vocab_size = fast.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """See :meth:`Tokenizer.encode`."""
        ids: list[int] = self.fast.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """See :meth:`Tokenizer.decode`."""
        text: str = self.fast.decode([int(token) for token in ids])
        return text

    def piece(self, token: int) -> str:
        """How the vocabulary spells a token: GPT-2's characters for bytes, such as ``Ġ`` for a space."""
        return str(self.fast.id_to_token(token))


def file(folder: Path) -> Path:
    """The one file of a tokenizer's folder that decides all ids."""
    return folder / MODEL if (folder / MODEL).exists() else folder / FAST


def load(folder: Path) -> Tokenizer:
    """The tokenizer of a folder made by the stage ``tokenizer``, or of a model's folder.

    Raises:
        HeadwaterError: there is none, it is damaged, or its control tokens are not those of this project.
    """
    path = file(folder)
    try:
        content = path.read_bytes()
        return parse(content) if path.name == MODEL else parse_fast(content)
    except FileNotFoundError:
        raise HeadwaterError(f"{folder}: no tokenizer here; run `dvc repro tokenizer`") from None
    except (RuntimeError, ValueError) as error:
        raise HeadwaterError(f"{path}: not a tokenizer of this project: {error}") from None


def parse(model: bytes) -> SentencePiece:
    """The tokenizer of a serialised sentencepiece model.

    Raises:
        RuntimeError: not a sentencepiece model.
        ValueError: its control tokens are not those of this project.
    """
    processor = sentencepiece.SentencePieceProcessor()
    if not model:  # sentencepiece takes this for a model without pieces
        raise ValueError("it is empty")
    processor.LoadFromSerializedProto(model)
    _check([processor.id_to_piece(token) for token in range(min(len(CONTROL), processor.get_piece_size()))])
    return SentencePiece(processor)


def parse_fast(description: bytes) -> ByteLevel:
    """The tokenizer of a byte-level ``tokenizer.json``.

    Raises:
        ValueError: not a byte-level tokenizer, or its control tokens are not those of this project.
    """
    described = json.loads(description)
    if not isinstance(described, dict) or (described.get("decoder") or {}).get("type") != "ByteLevel":
        raise ValueError(f"neither {MODEL} nor a byte-level {FAST}")
    fast = Fast.from_str(description.decode())
    _check([fast.id_to_token(token) or "" for token in range(len(CONTROL))])
    return ByteLevel(fast)


def _check(first: Sequence[str]) -> None:
    if tuple(first) != CONTROL:
        raise ValueError(f"its first tokens are {' '.join(first)}")
