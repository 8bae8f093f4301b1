"""How well an extractor does: the measures of the three evaluation sets.

Texts are compared by words, ``\\w+``: in Chinese and Japanese that is a run between two marks of punctuation.
"""

import re
from collections import Counter
from collections.abc import Iterable

_WORD = re.compile(r"\w+")


def word_f1(found: str, wanted: str) -> float:
    """Harmonic mean of precision and recall over lower-cased words counted as a bag, 0-1; 1 where both are empty.

    The measure of the Web Content Extraction Benchmark (WCXB, Foley, 2026; its ``evaluate.py``).
    """
    got, gold = Counter(_WORD.findall(found.lower())), Counter(_WORD.findall(wanted.lower()))
    if not got and not gold:
        return 1.0
    return 2 * (got & gold).total() / (got.total() + gold.total())


def shingle_f1(pairs: Iterable[tuple[str, str]]) -> float:
    """The measure of scrapinghub's article-extraction-benchmark: 4-grams of words, every page with the same weight.

    Args:
        pairs: For each page, what was found and what was wanted.
    """
    right = excess = missed = 0.0
    for found, wanted in pairs:
        got, gold = _shingles(found), _shingles(wanted)
        counts = (got & gold).total(), (got - gold).total(), (gold - got).total()
        right += counts[0] / sum(counts)
        excess += counts[1] / sum(counts)
        missed += counts[2] / sum(counts)
    return _f1(right, excess, missed)


def snippet_f1(pages: Iterable[tuple[str, Iterable[str], Iterable[str]]]) -> float:
    """The measure of trafilatura's evaluation: snippets that are in the text and should be, or should not.

    Args:
        pages: For each page, what was found, the snippets to be there and those not to be.
    """
    right = excess = missed = 0
    for found, present, absent in pages:
        for snippet in present:
            right += snippet in found
            missed += snippet not in found
        excess += sum(snippet in found for snippet in absent)
    return _f1(right, excess, missed)


def _shingles(text: str, length: int = 4) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(text)
    return Counter(tuple(words[at : at + length]) for at in range(max(1, len(words) - length + 1)))


def _f1(right: float, excess: float, missed: float) -> float:
    return 2 * right / max(2 * right + excess + missed, 1e-9)
