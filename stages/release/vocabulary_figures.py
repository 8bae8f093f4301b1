"""What the report shows of the tokenizer: its longest pieces, how many bytes a token holds, where tokens end."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import Tokenizer, decoders

from stages.core.errors import HeadwaterError
from stages.core.untrusted import shorten

# Longer than any text that is shown whole: only the figures need the rest.
_MEASURED_CHARACTERS = 20_000

_SHOWN = str.maketrans({"\n": "⏎", "\t": "⇥"})


@dataclass(frozen=True)
class Vocabulary:
    """The tokenizer in figures."""

    size: int
    longest: list[str]
    """The longest pieces that were learned, longest first, with spaces as ``▁``, line ends as ``⏎``, tabs as ``⇥``."""
    bytes_per_token: list[tuple[str, float]]
    """Language and figure in the sampled documents; the language with most text first."""
    sample: list[str]
    """The pieces of the beginning of one document, joined to its text; bytes stand as ``<0xE2>``."""
    sample_url: str


def describe(folder: Path, documents: Sequence[Mapping[str, Any]], pieces: int, characters: int) -> Vocabulary:
    """The figures of a tokenizer.

    Args:
        folder: The tokenizer's folder.
        documents: Documents to measure on; the first is shown.
        pieces: Longest pieces listed.
        characters: Length of the text shown with its tokens' borders.

    Raises:
        HeadwaterError: there is no tokenizer in the folder.
    """
    encode, learned, count = _open(folder)
    size: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for document in documents:
        text = document["text"][:_MEASURED_CHARACTERS]
        size[document["language"]] += len(text.encode())
        tokens[document["language"]] += len(encode(text))
    shown = shorten(documents[0]["text"].strip(), characters) if documents else ""
    return Vocabulary(
        size=count,
        longest=[piece.translate(_SHOWN) for piece in sorted(learned, key=lambda piece: (-len(piece), piece))[:pieces]],
        bytes_per_token=[(code, size[code] / tokens[code]) for code, _ in size.most_common() if tokens[code]],
        sample=encode(shown),
        sample_url=documents[0]["url"] if documents else "",
    )


def _open(folder: Path) -> tuple[Callable[[str], list[str]], list[str], int]:
    """What cuts a text into the texts of its tokens, the pieces that were learned, and the size of the vocabulary."""
    if (folder / "tokenizer.model").is_file():
        return _sentencepiece(folder / "tokenizer.model")
    if (folder / "tokenizer.json").is_file():
        return _byte_level(folder / "tokenizer.json")
    raise HeadwaterError(f"{folder}: no tokenizer here; run `dvc repro tokenizer`")


def _sentencepiece(path: Path) -> tuple[Callable[[str], list[str]], list[str], int]:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    learned = [
        processor.id_to_piece(token)
        for token in range(processor.get_piece_size())
        if not (processor.is_control(token) or processor.is_byte(token) or processor.is_unknown(token))
    ]

    def encode(text: str) -> list[str]:
        return [piece.replace("▁", " ") for piece in processor.encode(text, out_type=str)]

    return encode, learned, processor.get_piece_size()


def _byte_level(path: Path) -> tuple[Callable[[str], list[str]], list[str], int]:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True  # a literal "<s>" is text
    spelled = decoders.ByteLevel()
    control = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    learned = [
        spelled.decode([piece]).replace(" ", "▁")
        for piece in tokenizer.get_vocab()
        if len(piece) > 1 and piece not in control
    ]

    def encode(text: str) -> list[str]:
        return [spelled.decode([piece]) for piece in tokenizer.encode(text, add_special_tokens=False).tokens]

    return encode, learned, tokenizer.get_vocab_size()
