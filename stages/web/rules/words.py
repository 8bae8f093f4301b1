"""The words of a text as arrays: what the rules count of a word is found once for each distinct word.

Text is cut at white space (see :mod:`stages.web.rules.segmentation`) and each distinct piece is tokenised once, so a
document costs one dictionary look-up per piece.
"""

import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION

from stages.web.duplicates.shingles import ngrams
from stages.web.rules import segmentation

# Distinct pieces kept at most, of all languages together: some 230 bytes each. To meet one anew takes 10 microseconds;
# with room for a quarter of those that 8,106 pages have, 1.2 % of all pieces are.
_LIMIT = 400_000

SYMBOLIC, ALPHABETIC, TERMINAL, PUNCTUATION, LISTED, HEAD = (1 << bit for bit in range(6))
"""What a word is: made of punctuation only; with a letter; a mark that ends a sentence; of Unicode's category P only;
in the list of the language; first in a phrase of that list."""


@dataclass(frozen=True)
class Words:
    """The words of a text in order; every array has one entry per word."""

    hashes: npt.NDArray[np.uint64]
    lengths: npt.NDArray[np.int64]
    """Characters."""
    kinds: npt.NDArray[np.uint8]
    """Bits: ``SYMBOLIC``, ``ALPHABETIC``, …"""
    stop: npt.NDArray[np.uint8]
    """Which stop word it is, from 1; 0 for other words."""
    lines: npt.NDArray[np.int64]
    """Number of the line that it stands in."""

    def __len__(self) -> int:
        return len(self.hashes)

    def are(self, kind: int) -> npt.NDArray[np.bool_]:
        """Which words are of ``kind``."""
        return (self.kinds & kind) != 0

    def ngrams(self, n: int) -> npt.NDArray[np.uint64]:
        """A hash for each run of ``n`` words, in order; empty where there are fewer words."""
        return ngrams(self.hashes, n)

    def of_lines(self, chosen: npt.NDArray[np.bool_]) -> "Words":
        """The words in the lines that are true in ``chosen``."""
        mask = chosen[self.lines]
        return Words(self.hashes[mask], self.lengths[mask], self.kinds[mask], self.stop[mask], self.lines[mask])


class Vocabulary(dict[str, int]):
    """Pieces of text to their numbers; tokenises what it meets for the first time.

    Args:
        language: ISO 639-1; says how text is split.
        stop_words: At most 255, case-sensitive.
        listed: Words in lower case that get the kind ``LISTED``.
        heads: Words in lower case that get the kind ``HEAD``.
    """

    def __init__(
        self,
        language: str,
        stop_words: Iterable[str] = (),
        listed: Collection[str] = (),
        heads: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.language = language
        self._stop = {word: number for number, word in enumerate(sorted(set(stop_words)), 1)}
        self._listed = listed
        self._heads = heads
        self.clear()

    def clear(self) -> None:
        """Forget all pieces."""
        super().clear()
        self._starts, self._counts = _Column(np.int64), _Column(np.int64)
        self._hashes, self._lengths = _Column(np.uint64), _Column(np.int64)
        self._kinds, self._stops = _Column(np.uint8), _Column(np.uint8)
        self._new: list[list[str]] = []

    def __missing__(self, piece: str) -> int:
        self._new.append(segmentation.split(piece, self.language))
        self[piece] = number = len(self)
        return number

    def _learn(self) -> None:
        """Move what is known of the words of new pieces into the columns."""
        counts = np.fromiter(map(len, self._new), np.int64, len(self._new))
        words = list(chain.from_iterable(self._new))
        self._starts.append(len(self._hashes) + np.cumsum(counts) - counts)
        self._counts.append(counts)
        self._hashes.append([xxhash.xxh3_64_intdigest(word.encode()) for word in words])
        self._lengths.append([len(word) for word in words])
        self._kinds.append([self._kind(word) for word in words])
        self._stops.append([self._stop.get(word, 0) for word in words])
        self._new.clear()

    def _kind(self, word: str) -> int:
        lower = word.lower()
        listed: int = LISTED * (lower in self._listed) + HEAD * (lower in self._heads)
        if word.isalpha():
            return ALPHABETIC + listed
        return (
            listed
            + SYMBOLIC * PUNCTUATION_SET.issuperset(word)
            + ALPHABETIC * any(map(str.isalpha, word))
            + TERMINAL * (word in TERMINAL_PUNCTUATION)
            + PUNCTUATION * all(unicodedata.category(character)[0] == "P" for character in word)
        )

    def words(self, lines: Sequence[Sequence[str]]) -> Words:
        """The words of the pieces of every line."""
        sizes = np.fromiter(map(len, lines), np.int64, len(lines))
        numbers = np.fromiter(map(self.__getitem__, chain.from_iterable(lines)), np.int64, int(sizes.sum()))
        if self._new:
            self._learn()
        counts = self._counts.rows[numbers]
        before = np.cumsum(counts) - counts
        places = np.repeat(self._starts.rows[numbers] - before, counts)
        places += np.arange(len(places))
        return Words(
            self._hashes.rows[places],
            self._lengths.rows[places],
            self._kinds.rows[places],
            self._stops.rows[places],
            np.repeat(np.repeat(np.arange(len(lines)), sizes), counts),
        )


class Vocabularies:
    """Vocabularies that together are bounded: when they know too many pieces, the largest forgets its own."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Vocabulary] = {}

    def of(
        self,
        language: str,
        stop_words: tuple[str, ...] = (),
        listed: frozenset[str] = frozenset(),
        heads: frozenset[str] = frozenset(),
    ) -> Vocabulary:
        """The one for a text that comes next, made if there is none; what it is told is as for :class:`Vocabulary`."""
        key = (language, stop_words, listed, heads)
        if key not in self._known:
            self._known[key] = Vocabulary(*key)
        if sum(map(len, self._known.values())) > _LIMIT:
            max(self._known.values(), key=len).clear()
        return self._known[key]


class _Column:
    """An array that grows."""

    def __init__(self, kind: type[np.generic]) -> None:
        self.rows: npt.NDArray[Any] = np.zeros(4096, kind)
        """What lies behind the last row means nothing."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, values: Sequence[int] | npt.NDArray[Any]) -> None:
        size = self._count + len(values)
        if size > len(self.rows):
            larger = np.empty(2 * size, self.rows.dtype)
            larger[: self._count] = self.rows[: self._count]
            self.rows = larger
        self.rows[self._count : size] = values
        self._count = size
