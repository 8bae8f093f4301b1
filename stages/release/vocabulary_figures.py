"""What the report shows of the tokenizer: its longest pieces, how many bytes a token holds, where tokens end."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece

from stages.core.errors import HeadwaterError
from stages.release.untrusted import shorten

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
        HeadwaterError: there is no sentencepiece model in the folder.
    """
    path = folder / "tokenizer.model"
    if not path.is_file():
        raise HeadwaterError(f"{path}: no such file; run `dvc repro tokenizer`")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    learned = [
        processor.id_to_piece(token)
        for token in range(processor.get_piece_size())
        if not (processor.is_control(token) or processor.is_byte(token) or processor.is_unknown(token))
    ]
    size: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for document in documents:
        text = document["text"][:_MEASURED_CHARACTERS]
        size[document["language"]] += len(text.encode())
        tokens[document["language"]] += len(processor.encode(text))
    shown = shorten(documents[0]["text"].strip(), characters) if documents else ""
    return Vocabulary(
        size=processor.get_piece_size(),
        longest=[piece.translate(_SHOWN) for piece in sorted(learned, key=lambda piece: (-len(piece), piece))[:pieces]],
        bytes_per_token=[(code, size[code] / tokens[code]) for code, _ in size.most_common() if tokens[code]],
        sample=[piece.replace("▁", " ") for piece in processor.encode(shown, out_type=str)],
        sample_url=documents[0]["url"] if documents else "",
    )
