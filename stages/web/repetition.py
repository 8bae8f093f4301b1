"""Gopher's rules against repetition: lines, paragraphs and word n-grams that come again.

Rae et al. 2021 (arXiv:2112.11446), table A1; decides as datatrove's GopherRepetitionFilter does. Each rule returns the
reason to drop the page, or None.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stages.core.params import params
from stages.web.page import Page
from stages.web.words import Words


@params
class Repetition:
    """Largest shares of a page that may be repeated, 0–1; 1 turns a rule off."""

    lines: float
    """Lines that came before, of all lines."""
    line_characters: float
    """Characters in lines that came before, of all characters."""
    paragraphs: float
    """Paragraphs that came before, of all paragraphs."""
    paragraph_characters: float
    """Characters in paragraphs that came before, of all characters."""
    top_ngrams: dict[int, float]
    """Characters in occurrences of the most frequent run of n words, of all characters, by n."""
    repeated_ngrams: dict[int, float]
    """Characters in runs of n words that came before, of all characters, by n."""


def repeated_paragraphs(page: Page, limits: Repetition) -> str | None:
    """Paragraphs that came before, by number and by length."""
    paragraphs = [part.lstrip("\n") for part in page.text.strip().split("\n\n") if part and part != "\n"]
    count, characters = repeats(paragraphs)
    if count / len(paragraphs) > limits.paragraphs:
        return "gopher_repeated_paragraphs"
    if characters / len(page.text) > limits.paragraph_characters:
        return "gopher_repeated_paragraph_characters"
    return None


def repeated_lines(page: Page, limits: Repetition) -> str | None:
    """Lines that came before, by number and by length."""
    lines = [line for line in page.text.split("\n") if line]
    count, characters = repeats(lines)
    if count / len(lines) > limits.lines:
        return "gopher_repeated_lines"
    if characters / len(page.text) > limits.line_characters:
        return "gopher_repeated_line_characters"
    return None


def top_ngrams(page: Page, limits: Repetition) -> str | None:
    """A short run of words that makes up much of the page."""
    for n, share in sorted(limits.top_ngrams.items()):
        if _top_characters(page.words, n) / len(page.text) > share:
            return f"gopher_top_{n}_gram"
    return None


def repeated_ngrams(page: Page, limits: Repetition) -> str | None:
    """Longer runs of words that came before."""
    # A run that came before is made of shorter ones that did: what those cover bounds what the longer can.
    bound = 1.0
    for n, share in sorted(limits.repeated_ngrams.items()):
        if bound > share:
            bound = _covered_characters(page.words, n) / len(page.text)
            if bound > share and _repeated_characters(page.words, n) / len(page.text) > share:
                return f"gopher_repeated_{n}_grams"
    return None


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


def _top_characters(words: Words, n: int) -> int:
    """Occurrences of the most frequent n-gram times its length with spaces; of several, the first in the text."""
    keys = words.ngrams(n)
    if not len(keys):
        return 0
    ordered = np.sort(keys)
    starts = _run_starts(ordered)
    counts = np.diff(starts, append=len(ordered))
    most = int(counts.max())
    tops = ordered[starts[counts == most]]
    nearest = tops[np.minimum(np.searchsorted(tops, keys), len(tops) - 1)]
    first = int((nearest == keys).argmax())
    return most * (int(words.lengths[first : first + n].sum()) + n - 1)


def _run_starts(ordered: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    return np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))


def _covered_characters(words: Words, n: int) -> int:
    """Characters of all words that lie in an n-gram which came before, overlapping ones too."""
    keys = words.ngrams(n)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    later = order[1:][ordered[1:] == ordered[:-1]]
    change = np.zeros(len(words) + 1, np.int64)
    change[later] += 1
    change[later + n] -= 1
    return int(words.lengths[np.cumsum(change[:-1]) > 0].sum())


def _repeated_characters(words: Words, n: int) -> int:
    """Characters in n-grams that came before, read from left to right without overlap."""
    keys = words.ngrams(n).tolist()
    ends = np.concatenate([[0], np.cumsum(words.lengths)]).tolist()
    seen: set[int] = set()
    characters = position = 0
    while position < len(keys):
        key = keys[position]
        if key in seen:
            characters += ends[position + n] - ends[position]
            position += n
        else:
            seen.add(key)
            position += 1
    return characters


RULES = (repeated_paragraphs, repeated_lines, top_ngrams, repeated_ngrams)
"""In datatrove's order."""
