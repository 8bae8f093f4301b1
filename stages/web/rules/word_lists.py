"""Lists of obscene and hateful words, by language, and the share that a text has of them.

C4 dropped every page with one such word (arXiv:1910.10683, section 2.2), which took pages on medicine, law and
minorities with it (Dodge et al. 2021, arXiv:2104.08758); a share of the words tells an adult page from one that only
mentions something.
"""

import functools
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import xxhash

from stages.core import listed_words
from stages.core.params import params
from stages.web.rules import segmentation
from stages.web.rules.rule import AtMost
from stages.web.rules.words import HEAD, LISTED, SYMBOLIC, Words


@params
class WordLists:
    """Which words are listed."""

    shipped: bool
    """Those of the lists that come with the project's libraries."""
    own: dict[str, list[str]]
    """Words and phrases to add, by language, ISO 639-1, in lower case."""


RULES = (AtMost("listed_words", "listed_words", lambda limits: limits.max_listed_words),)


class WordList:
    """The listed words and phrases of one language."""

    def __init__(self, language: str, entries: Iterable[str]) -> None:
        self.language = language
        single: set[str] = set()
        self._phrases: dict[int, set[tuple[int, ...]]] = defaultdict(set)
        heads: set[str] = set()
        for entry in sorted({entry.strip().lower() for entry in entries}):
            (pieces,) = segmentation.pieces([entry], language)
            words = [word for piece in pieces for word in segmentation.split(piece, language)]
            if len(words) == 1:
                single.add(words[0])
            elif words:
                heads.add(words[0])
                self._phrases[len(words)].add(tuple(xxhash.xxh3_64_intdigest(word.encode()) for word in words))
        self.words = frozenset(single)
        """Entries of one word."""
        self.heads = frozenset(heads)
        """First words of entries of several."""

    def scores(self, words: Words) -> dict[str, float]:
        """The share of ``words`` (of a vocabulary that knows this list) that are listed or lie in a listed phrase."""
        listed = int(np.count_nonzero(words.are(LISTED)))
        for place in np.flatnonzero(words.are(HEAD)).tolist():
            for n, phrases in self._phrases.items():
                listed += n * (tuple(words.hashes[place : place + n].tolist()) in phrases)
        return {"listed_words": listed / max(1, int(np.count_nonzero(~words.are(SYMBOLIC))))}


@functools.cache
def word_list(language: str, shipped: bool, own: tuple[str, ...]) -> WordList:
    """The list of ``language``: that which is shipped, if it is wanted, and the user's ``own`` entries."""
    return WordList(language, [*(listed_words.shipped(language) if shipped else ()), *own])
