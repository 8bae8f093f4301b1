"""The tokenizer: text to ids and back, as sentencepiece does it; text never becomes a control token."""

from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from stages.core.errors import HeadwaterError

MODEL = "tokenizer.model"

UNKNOWN, BEGIN, END, PAD, SYSTEM, USER, ASSISTANT, END_OF_TURN = range(8)
"""Ids of the control tokens, the same in every vocabulary; the bytes 0–255 follow, then what was learned."""

CONTROL = ("<unk>", "<s>", "</s>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
"""The control tokens by id."""


class Tokenizer:
    """A sentencepiece model: any text to ids and back without loss.

    The one exception is sentencepiece's own: ``▁`` (U+2581), which stands for a space in its pieces, comes back as one.
    """

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        self.processor = processor
        self.vocab_size: int = processor.get_piece_size()

    def encode(self, text: str) -> list[int]:
        """Ids of the text alone: no control token is added, and a literal ``<s>`` stays text."""
        return self.processor.encode(text)

    def encode_document(self, text: str) -> list[int]:
        """Ids of a whole document, between ``<s>`` and ``</s>``."""
        return [BEGIN, *self.encode(text), END]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids; control tokens have none, bytes that are no UTF-8 become U+FFFD."""
        return self.processor.decode([int(token) for token in ids])

    def piece(self, token: int) -> str:
        """How the vocabulary spells a token: ``▁`` for a space, ``<0x0A>`` for a byte."""
        return self.processor.id_to_piece(token)


def load(folder: Path) -> Tokenizer:
    """The tokenizer of a folder made by the stage ``tokenizer``, or of a model's folder.

    Raises:
        HeadwaterError: there is none, it is damaged, or its control tokens are not those of this project.
    """
    path = folder / MODEL
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        raise HeadwaterError(f"{path}: no such file; run `dvc repro tokenizer`") from None
    except (RuntimeError, ValueError) as error:
        raise HeadwaterError(f"{path}: not a tokenizer of this project: {error}") from None


def parse(model: bytes) -> Tokenizer:
    """The tokenizer of a serialised sentencepiece model.

    Raises:
        RuntimeError: not a sentencepiece model.
        ValueError: its control tokens are not those of this project.
    """
    processor = sentencepiece.SentencePieceProcessor()
    if not model:  # sentencepiece takes this for a model without pieces
        raise ValueError("it is empty")
    processor.LoadFromSerializedProto(model)
    found = tuple(processor.id_to_piece(token) for token in range(min(len(CONTROL), processor.get_piece_size())))
    if found != CONTROL:
        raise ValueError(f"its first tokens are {' '.join(found)}")
    return Tokenizer(processor)
