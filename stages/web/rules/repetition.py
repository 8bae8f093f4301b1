"""Gopher's rules against repetition: lines, paragraphs and word n-grams that come again.

Rae et al. 2021 (arXiv:2112.11446), table A1; counted as datatrove's GopherRepetitionFilter counts.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeFloat

from stages.core.params import Share, params
from stages.web.rules.page import Page
from stages.web.rules.rule import AtMost
from stages.web.rules.words import Words

TOP = (2, 3, 4)
"""Lengths of n-grams of which the most frequent is looked at."""
REPEATED = (5, 6, 7, 8, 9, 10)
"""Lengths of n-grams of which all that come again are looked at."""
_BASE = np.uint64(0x9E3779B97F4A7C15)  # of the polynomial by which runs are hashed; odd, so that nothing is lost
_HALF, _LOW = np.uint64(32), np.uint64(2**32 - 1)


@params
class Repetition:
    """Largest shares of a page that may be repeated, 0–1; 1 turns a rule off."""

    lines: Share
    """Lines that came before, of all lines."""
    line_characters: Share
    """Characters in lines that came before, of all characters."""
    paragraphs: Share
    """Paragraphs that came before, of all paragraphs."""
    paragraph_characters: Share
    """Characters in paragraphs that came before, of all characters."""
    top_ngrams: dict[Literal[2, 3, 4], NonNegativeFloat]
    """Characters in occurrences of the most frequent run of n words, of all characters, by n."""
    repeated_ngrams: dict[Literal[5, 6, 7, 8, 9, 10], NonNegativeFloat]
    """Characters in runs of n words that came before, of all characters, by n."""


def _top(n: Literal[2, 3, 4]) -> AtMost:
    return AtMost(f"gopher_top_{n}_gram", f"top_{n}_gram", lambda limits: limits.repetition.top_ngrams.get(n))


def _repeated(n: Literal[5, 6, 7, 8, 9, 10]) -> AtMost:
    reason, score = f"gopher_repeated_{n}_grams", f"repeated_{n}_grams"
    return AtMost(reason, score, lambda limits: limits.repetition.repeated_ngrams.get(n))


RULES = (
    AtMost("gopher_repeated_paragraphs", "repeated_paragraphs", lambda limits: limits.repetition.paragraphs),
    AtMost(
        "gopher_repeated_paragraph_characters",
        "repeated_paragraph_characters",
        lambda limits: limits.repetition.paragraph_characters,
    ),
    AtMost("gopher_repeated_lines", "repeated_lines", lambda limits: limits.repetition.lines),
    AtMost(
        "gopher_repeated_line_characters",
        "repeated_line_characters",
        lambda limits: limits.repetition.line_characters,
    ),
    _top(2),
    _top(3),
    _top(4),
    *(_repeated(n) for n in (5, 6, 7, 8, 9, 10)),
)
"""In datatrove's order."""


def scores(page: Page) -> dict[str, float]:
    """What of a page that is not blank is repeated, as shares of it, 0–1 (of a short page n-grams may be more)."""
    paragraphs = [part.lstrip("\n") for part in page.text.strip().split("\n\n") if part and part != "\n"]
    lines = [line for line in page.text.split("\n") if line]
    size = len(page.text)
    found = {}
    for name, parts in (("paragraph", paragraphs), ("line", lines)):
        count, characters = repeats(parts)
        found[f"repeated_{name}s"] = count / len(parts)
        found[f"repeated_{name}_characters"] = characters / size
    for n, runs in zip((*TOP, *REPEATED), _runs(page.words), strict=False):
        name = f"top_{n}_gram" if n in TOP else f"repeated_{n}_grams"
        found[name] = (runs.top_characters() if n in TOP else runs.repeated_characters()) / size
    return found


def repeats(parts: Sequence[str]) -> tuple[int, int]:
    """How many of ``parts`` equal an earlier one, and their characters together."""
    if len(set(parts)) == len(parts):
        return 0, 0
    seen: set[str] = set()
    count = characters = 0
    for part in parts:
        if part in seen:
            count += 1
            characters += len(part)
        else:
            seen.add(part)
    return count, characters


@dataclass(frozen=True)
class _Runs:
    """The runs of ``n`` words that occur more than once in a text of ``words``."""

    n: int
    words: Words
    ends: npt.NDArray[np.int64]
    """Characters of the first words, for each number of words from 0."""
    places: npt.NDArray[np.int64]
    """Where they begin, in order: numbers of words."""
    firsts: npt.NDArray[np.int64]
    """For each of the places, where its run begins for the first time."""

    def top_characters(self) -> int:
        """Occurrences of the most frequent run times its length with spaces; of several, the first in the text."""
        if len(self.words) < self.n:
            return 0
        most, first = 1, 0
        if len(self.places):
            counts = np.bincount(self.firsts)
            first = int(counts.argmax())
            most = int(counts[first])
        return most * (int(self.ends[first + self.n] - self.ends[first]) + self.n - 1)

    def repeated_characters(self) -> int:
        """Characters in runs that came before, read from left to right without overlap.

        A run counts as seen once reading has stopped at it: what lies within another run that is being counted is
        passed over, and comes as new where it comes again.
        """
        later = self.firsts != self.places
        places, firsts = self.places[later].tolist(), self.firsts[later].tolist()
        counted, met = [-self.n], set[int]()
        index = 0
        while index < len(places):
            place, first = places[index], firsts[index]
            # Within the last run that was counted before it: reading did not stop at it.
            if first < counted[bisect_right(counted, first) - 1] + self.n and first not in met:
                met.add(first)
                index += 1
            else:
                counted.append(place)
                index = bisect_left(places, place + self.n, index + 1, min(index + self.n, len(places)))
        begins = np.array(counted[1:], np.int64)
        return int((self.ends[begins + self.n] - self.ends[begins]).sum())


def _runs(words: Words) -> Iterator[_Runs]:
    """The repeated runs of 2, 3, … words; each length is looked for only where the one before was found.

    Hash and place are sorted as one number, so that a run's places come out in order. The hash has the 64 bits that the
    place leaves: in one of 10^7 texts of 10,000 words two different runs are taken for the same.
    """
    ends = np.concatenate([[0], np.cumsum(words.lengths)])
    below = np.uint64((1 << len(words).bit_length()) - 1)
    places = np.arange(len(words))
    keys = words.hashes
    for n in range(2, REPEATED[-1] + 1):
        fit = int(places.searchsorted(len(words) - n, side="right"))
        places = firsts = places[:fit]
        if fit:
            keys = keys[:fit] * _BASE + words.hashes[places + (n - 1)]
            ordered = (keys & ~below) | places.view(np.uint64)
            ordered.sort()
            edges = np.ones(fit + 1, np.bool_)  # before the first and behind the last of those that are the same
            np.greater(ordered[1:] ^ ordered[:-1], below, out=edges[1:-1])
            again = (~(edges[:-1] & edges[1:])).nonzero()[0]
            own, starts = ordered[again] & below, edges[again]
            pairs = (own << _HALF) | own[starts][starts.cumsum() - 1]
            pairs.sort()
            found = (pairs >> _HALF).view(np.int64)
            keys = keys[places.searchsorted(found)]
            places, firsts = found, (pairs & _LOW).view(np.int64)
        yield _Runs(n, words, ends, places, firsts)
