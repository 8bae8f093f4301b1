"""What of a page should be extracted, block by block, learnt from its known text or from extractors that agree."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_WORD = re.compile(r"\w+")
_MAX_WORDS = 20_000  # of a page that are aligned: memory grows with the square
_SHINGLE = 4


def words(text: str) -> list[str]:
    """Lower-cased words of a text."""
    return _WORD.findall(text.lower())


def coverage(blocks: Sequence[Sequence[str]], wanted: Sequence[str]) -> Array:
    """Share of each block's words that lie in the wanted text, in its order; 0-1.

    Longest common subsequence of page and text, so that a menu which names words of the text does not count; blocks
    that stand elsewhere in the page than in the text count by the 4-grams they share with it.
    """
    page = [word for block in blocks for word in block][:_MAX_WORDS]
    matched = np.zeros(sum(map(len, blocks)) + 1, np.int64)
    matched[1 + np.array(_common(page, wanted[:_MAX_WORDS]), np.int64)] = 1
    total = np.cumsum(matched)
    edges = np.concatenate(([0], np.cumsum([len(block) for block in blocks])))
    share = (total[edges[1:]] - total[edges[:-1]]) / np.maximum(edges[1:] - edges[:-1], 1)
    shingles = _shingles(wanted)
    elsewhere = [_shared(block, shingles) if len(block) >= 2 * _SHINGLE else 0.0 for block in blocks]
    return np.maximum(share, elsewhere)


def _shingles(text: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(text[at : at + _SHINGLE]) for at in range(len(text) - _SHINGLE + 1)}


def _shared(block: Sequence[str], shingles: set[tuple[str, ...]]) -> float:
    own = [tuple(block[at : at + _SHINGLE]) for at in range(len(block) - _SHINGLE + 1)]
    return sum(shingle in shingles for shingle in own) / len(own)


def _common(page: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Places in the page of a longest common subsequence (bit-parallel: Hyyrö, 2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(wanted):
        places[word] = places.get(word, 0) | 1 << place
    full = (1 << len(wanted)) - 1
    state, states = full, []
    for word in page:
        hit = state & places.get(word, 0)
        state = ((state + hit) | (state - hit)) & full
        states.append(state)
    found: list[int] = []
    row, column = len(page), len(wanted)
    while row and column:
        if states[row - 1] >> (column - 1) & 1:
            column -= 1
        elif row > 1 and not states[row - 2] >> (column - 1) & 1:
            row -= 1
        else:
            row, column = row - 1, column - 1
            found.append(row)
    return found


def agreement(texts: Sequence[str], extracted: Iterable[str]) -> tuple[Array, Array]:
    """Share of the extractors that took each block, and how sure that is: 1 where all agree, 0 where they are split."""
    votes = []
    for text in extracted:
        squeezed = " ".join(words(text))
        shingles = _shingles(words(text))
        votes.append([_holds(words(block), squeezed, shingles) for block in texts])
    share = np.mean(np.array(votes), axis=0)
    return share, np.abs(2 * share - 1)


def _holds(block: Sequence[str], squeezed: str, shingles: set[tuple[str, ...]]) -> float:
    if len(block) >= 2 * _SHINGLE:
        return float(_shared(block, shingles) > 0.5)
    return float(bool(block) and f" {' '.join(block)} " in f" {squeezed} ")


def marked(
    texts: Sequence[str], share: Array, sure: Array, snippets: Mapping[str, Sequence[str]]
) -> tuple[Array, Array]:
    """Labels corrected where a person named text that must, or must not, be extracted; those blocks count threefold."""
    share, sure = share.copy(), sure.copy()
    for at, text in enumerate(texts):
        if any(snippet in text for snippet in snippets["present"]):
            share[at], sure[at] = 1, 3
        elif any(snippet in text and len(text) < 3 * len(snippet) for snippet in snippets["absent"]):
            share[at], sure[at] = 0, 3
    return share, sure
