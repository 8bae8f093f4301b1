"""What the report shows of the tokenizer: its pieces, what it makes of each language, tokens that are never used."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sentencepiece
from tokenizers import Tokenizer, decoders

from stages.core.errors import HeadwaterError
from stages.core.tokens import TokenShards
from stages.core.untrusted import shorten

# Longer than any text that is shown whole: only the figures need the rest.
_MEASURED_CHARACTERS = 20_000
_ROWS = 4096  # of packed tokens, looked at together

_SHOWN = str.maketrans({"\n": "⏎", "\t": "⇥"})
_WORD = re.compile(r"\w+")
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_WITHOUT_SPACES = frozenset({"zh", "yue", "ja", "th", "lo", "km", "my", "bo", "dz"})


@dataclass(frozen=True)
class Fertility:
    """What the tokenizer makes of a language."""

    language: str
    documents: int
    bytes_per_token: float
    tokens_per_word: float | None
    """Fertility (Rust et al. 2021, arXiv:2012.15613); None for languages that write no space between words."""
    single_bytes: float
    """Share of the tokens that are one byte of a character that has no token, 0–1."""


@dataclass(frozen=True)
class Use:
    """How often the tokens stand in what is trained on."""

    tokens: int
    """That were counted."""
    unused: int
    """Tokens of the vocabulary that were not among them."""
    never: list[str]
    """Some of the unused pieces, by id: those learned first, first."""
    frequent: list[tuple[str, float]]
    """The most frequent pieces, and their share of all tokens, 0–1."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokenizer in figures."""

    size: int
    longest: list[str]
    """The longest pieces that were learned, longest first, with spaces as ``▁``, line ends as ``⏎``, tabs as ``⇥``."""
    fertility: list[Fertility]
    """Of the sampled documents, by language, the one with most of them first."""
    use: Use
    sample: list[str]
    """The pieces of the beginning of one document, joined to its text; bytes stand as ``<0xE2>``."""
    sample_url: str


class _Opened(NamedTuple):
    encode: Callable[[str], list[str]]
    """Cuts a text into the texts of its tokens."""
    names: list[str]
    """Of every token, by id."""
    learned: list[int]
    """Ids of the pieces that were learned: no control token and no single byte."""
    is_byte: Callable[[str], bool]
    """Whether a token's text is a part of a character."""


def describe(
    folder: Path, documents: Sequence[Mapping[str, Any]], tokens: Path, pieces: int, characters: int, counted: int
) -> Vocabulary:
    """The figures of a tokenizer.

    Args:
        folder: The tokenizer's folder.
        documents: Documents to measure on; the first is shown.
        tokens: Packed tokens.
        pieces: Pieces in each list.
        characters: Length of the text shown with its tokens' borders.
        counted: Packed tokens that are counted, at most.

    Raises:
        HeadwaterError: there is no tokenizer in the folder.
    """
    opened = _open(folder)
    shown = shorten(documents[0]["text"].strip(), characters) if documents else ""
    longest = sorted((opened.names[token] for token in opened.learned), key=lambda piece: (-len(piece), piece))
    return Vocabulary(
        size=len(opened.names),
        longest=[piece.translate(_SHOWN) for piece in longest[:pieces]],
        fertility=_fertility(opened, documents),
        use=_use(opened, tokens, pieces, counted),
        sample=opened.encode(shown),
        sample_url=documents[0]["url"] if documents else "",
    )


def _fertility(opened: _Opened, documents: Iterable[Mapping[str, Any]]) -> list[Fertility]:
    by_language: dict[str, list[tuple[int, int, int, int]]] = {}
    for document in documents:
        text = document["text"][:_MEASURED_CHARACTERS]
        tokens = opened.encode(text)
        single = sum(map(opened.is_byte, tokens))
        measured = (len(text.encode()), len(tokens), len(_WORD.findall(text)), single)
        by_language.setdefault(document["language"], []).append(measured)
    found = []
    for language, measured_texts in by_language.items():
        size, tokens_of, words, single = (sum(column) for column in zip(*measured_texts, strict=True))
        if tokens_of:
            fertility = tokens_of / words if words and language not in _WITHOUT_SPACES else None
            figures = (size / tokens_of, fertility, single / tokens_of)
            found.append(Fertility(language, len(measured_texts), *figures))
    return sorted(found, key=lambda one: (-one.documents, one.language))


def _use(opened: _Opened, folder: Path, pieces: int, most: int) -> Use:
    packed = TokenShards(folder)
    rows = min(len(packed), most // (packed.context + 1))
    counts = np.zeros(packed.vocab_size, dtype=np.int64)
    for start in range(0, rows, _ROWS):
        together = packed.rows(np.arange(start, min(start + _ROWS, rows)))
        counts += np.bincount(together.ravel(), minlength=packed.vocab_size)
    counts[packed.pad_id] = 0
    total = int(counts.sum())
    unused = [token for token in opened.learned if token < len(counts) and not counts[token]]
    ranked = np.argsort(-counts, kind="stable")[: pieces // 2]
    names = [name.translate(_SHOWN) for name in opened.names]
    return Use(
        tokens=total,
        unused=len(unused),
        never=[names[token] for token in unused[:pieces]],
        frequent=[(names[token], counts[token] / total) for token in ranked.tolist() if counts[token]],
    )


def _open(folder: Path) -> _Opened:
    if (folder / "tokenizer.model").is_file():
        return _sentencepiece(folder / "tokenizer.model")
    if (folder / "tokenizer.json").is_file():
        return _byte_level(folder / "tokenizer.json")
    raise HeadwaterError(f"{folder}: no tokenizer here; run `dvc repro tokenizer`")


def _sentencepiece(path: Path) -> _Opened:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    ids = range(processor.get_piece_size())
    learned = [
        token
        for token in ids
        if not (processor.is_control(token) or processor.is_byte(token) or processor.is_unknown(token))
    ]

    def encode(text: str) -> list[str]:
        return [piece.replace("▁", " ") for piece in processor.encode(text, out_type=str)]

    names = [processor.id_to_piece(token) for token in ids]
    return _Opened(encode, names, learned, lambda piece: _BYTE.fullmatch(piece) is not None)


def _byte_level(path: Path) -> _Opened:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True  # a literal "<s>" is text
    spelled = decoders.ByteLevel()
    control = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    pieces = {token: piece for piece, token in tokenizer.get_vocab().items()}
    names = [pieces.get(token, "") for token in range(max(pieces) + 1)]
    learned = [token for token, piece in enumerate(names) if len(piece) > 1 and piece not in control]

    def encode(text: str) -> list[str]:
        return [spelled.decode([piece]) for piece in tokenizer.encode(text, add_special_tokens=False).tokens]

    shown = [piece if piece in control else spelled.decode([piece]).replace(" ", "▁") for piece in names]
    return _Opened(encode, shown, learned, lambda piece: "\ufffd" in piece)
