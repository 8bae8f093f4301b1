"""Passages of a document: its paragraphs and runs of words, told apart by hash, and the text without some of them.

Runs follow Lee et al. 2022 (arXiv:2107.06499), section 4.1, with words for tokens and a hash of every window for the
suffix array. Text stays Markdown: a heading, a row of a table or a block of code is taken out as a whole or not at all,
a list item keeps its mark or goes with it, and a heading goes when all that stood below it went.
"""

import itertools
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import xxhash
from pydantic import NonNegativeInt, PositiveInt

from stages.core.params import params
from stages.web.duplicates.shingles import WORD, Hashes, WordHashes, members, ngrams

_FENCES, _BULLETS = frozenset("`~"), frozenset("-*+")
_FENCE = re.compile(r"\s*(```+|~~~+)")
_HEADING = re.compile(r"(#{1,6}) ")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)]) +")


@params
class Passages:
    """What is cut out of documents because documents that are preferred have it too."""

    paragraph_characters: NonNegativeInt
    """Length of a paragraph, list item, row or block of code, at least, that is cut; 0 leaves all."""
    paragraph_documents: PositiveInt
    """Documents that keep a paragraph, those to be preferred first."""
    run_words: NonNegativeInt
    """Length of a run of words that is cut wherever a document before it has it; 0 leaves all."""
    min_words: NonNegativeInt
    """Words that a document must have left."""


@dataclass(slots=True)
class Piece:
    """A part of a text that is one thing in Markdown."""

    start: int
    body: int
    """Where the words begin, behind the mark of a list item."""
    end: int
    gap: str
    """What stands between it and the piece before: one line feed or two."""
    level: int
    """Of a heading, 1–6; else 0."""
    whole: bool
    """Whether it can only be taken out as a whole."""


def pieces(text: str) -> list[Piece]:
    """The pieces of a text in order: headings, paragraphs, list items, rows of tables, blocks of code."""
    found: list[Piece] = []
    fence, blank, apart, position = "", True, True, 0
    for line in text.split("\n"):
        end = position + len(line)
        head = line.lstrip()[:1]  # says which of the marks there can be
        mark = _FENCE.match(line) if head in _FENCES else None
        if fence:
            found[-1].end = end
            if mark and mark[1].startswith(fence) and not line[mark.end() :].strip():
                fence, apart = "", True
        elif not head:
            blank = True
        else:
            item = _ITEM.match(line) if head in _BULLETS or head.isdecimal() else None
            heading = _HEADING.match(line) if head == "#" else None
            row = " | " in line
            if blank or apart or mark or item or heading or row:
                level = len(heading[1]) if heading else 0
                body = position + (item.end() if item else 0)
                whole = bool(mark or level or row)
                found.append(Piece(position, body, end, "\n\n" if blank else "\n", level, whole))
                fence, blank, apart = mark[1] if mark else "", False, bool(level)
            else:
                found[-1].end = end
        position = end + 1
    return found


def paragraphs(text: str, least: int, hashes: WordHashes) -> Iterator[tuple[Piece, int]]:
    """The pieces of at least ``least`` characters with words, without headings, and a hash of the words of each."""
    for piece in pieces(text):
        if piece.end - piece.body >= least and not piece.level:
            words = hashes.of(text[piece.body : piece.end])
            if len(words):  # all drawings of lines and boxes would be the same
                yield piece, xxhash.xxh3_64_intdigest(words.tobytes())


def runs(text: str, n: int, hashes: WordHashes) -> tuple[npt.NDArray[np.int64], Hashes]:
    """Where each word begins, and the hash of the ``n`` words from each that has so many from it on."""
    words = list(WORD.finditer(text))
    own = np.fromiter((hashes[word[0].lower()] for word in words), np.uint64, len(words))
    return np.fromiter((word.start() for word in words), np.int64, len(words)), ngrams(own, n)


def keys_of_paragraphs(text: str, least: int, hashes: WordHashes) -> Hashes:
    """The set of hashes of a text's paragraphs."""
    return members(np.fromiter((key for _, key in paragraphs(text, least, hashes)), np.uint64))


def keys_of_runs(text: str, n: int, hashes: WordHashes) -> Hashes:
    """The set of hashes of a text's runs."""
    return members(runs(text, n, hashes)[1])


def without(text: str, keys: Collection[int], params: Passages, hashes: WordHashes) -> str:
    """``text`` without the paragraphs and the runs whose hashes are among ``keys``."""
    gone: set[int] = set()
    if params.paragraph_characters:
        gone = {piece.start for piece, key in paragraphs(text, params.paragraph_characters, hashes) if key in keys}
    words, cut = _words_cut(text, keys, params.run_words, hashes)
    kept: list[tuple[Piece, str]] = []
    emptied, gap = False, ""  # whether something went since the last kept piece that is no heading; the widest gap
    for piece in pieces(text):
        left = "" if piece.start in gone else _rest(text, piece, words, cut)
        gap = max(gap, piece.gap)
        if left:
            if emptied and piece.level:
                _drop_headings(kept, piece.level)
            kept.append((replace(piece, gap=gap), left))
            gap = ""
        emptied = not left or (emptied and piece.level > 0)
    if emptied:
        _drop_headings(kept, 1)
    return "".join((piece.gap if place else "") + left for place, (piece, left) in enumerate(kept))


def _words_cut(
    text: str, keys: Collection[int], n: int, hashes: WordHashes
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Where each word begins, and whether it is in a run among ``keys``."""
    if not n:
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    words, own = runs(text, n, hashes)
    cut = np.zeros(len(words), np.bool_)
    for place in np.flatnonzero([int(key) in keys for key in own.tolist()]).tolist():
        cut[place : place + n] = True
    return words, cut


def _rest(text: str, piece: Piece, words: npt.NDArray[np.int64], cut: npt.NDArray[np.bool_]) -> str:
    """What is left of a piece without the words that are ``cut``."""
    first, end = np.searchsorted(words, [piece.body, piece.end]).tolist()
    own = cut[first:end]
    if not own.any() or (piece.whole and not own.all()):
        return text[piece.start : piece.end]
    if own.all():
        return ""
    left, borders = "", [*words[first:end].tolist(), piece.end]
    for gone, places in itertools.groupby(range(end - first), own.__getitem__):
        span = list(places)
        if not gone:
            left += text[borders[span[0]] : borders[span[-1] + 1]]
    # What stands before the first word, such as a quotation mark, stays with it.
    lead = "" if own[0] else text[piece.body : borders[0]]
    return text[piece.start : piece.body] + (lead + left).strip()


def _drop_headings(kept: list[tuple[Piece, str]], level: int) -> None:
    """Drop the headings at the end that a heading of ``level`` leaves without text."""
    while kept and kept[-1][0].level >= level:
        kept.pop()
