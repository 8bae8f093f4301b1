"""Runs of words as 64-bit hashes, by which documents are compared without regard to case, spacing and punctuation."""

import re
import unicodedata
from itertools import groupby

import numpy as np
import numpy.typing as npt
import xxhash

Hashes = npt.NDArray[np.uint64]

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Of scripts written without spaces between words, as in a set of a pattern: every character is taken as a word."""
# Vowel signs of Indian scripts, points of Hebrew and Arabic: of a word, where `\w` ends it.
_MARKS = "".join(mark for mark in map(chr, range(0x300, 0x10000)) if unicodedata.category(mark) in ("Mn", "Mc"))
_MARKS = re.sub(f"[{UNSPACED}]", "", _MARKS)
WORD = re.compile(rf"[^\W{UNSPACED}]+(?:[{_MARKS}]+[^\W{UNSPACED}]*)*+|[{UNSPACED}]")
"""A word; :func:`split` gives those of the text in lower case."""
_ASCII_WORDS = bytes(byte if chr(byte).isalnum() or byte == ord("_") else ord(" ") for byte in range(128)).ljust(256)
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying loses nothing modulo 2**64
_LIMIT = 1_000_000  # distinct words remembered; about 150 bytes each


def split(text: str) -> list[str]:
    """The words of ``text`` in lower case: runs of letters and digits."""
    words: list[str] = []
    # Lines of ASCII, which is most of them, take a path that is three times as fast.
    for plain, lines in groupby(text.lower().split("\n"), str.isascii):
        part = "\n".join(lines)
        words += part.encode().translate(_ASCII_WORDS).decode().split() if plain else WORD.findall(part)
    return words


class WordHashes(dict[str, int]):
    """Words to their hashes, each computed once."""

    def __missing__(self, word: str) -> int:
        value = self[word] = xxhash.xxh3_64_intdigest(word.encode())
        return value

    def of(self, text: str) -> Hashes:
        """Hashes of the words of ``text`` in order."""
        if len(self) > _LIMIT:
            self.clear()
        words = split(text)
        return np.fromiter(map(self.__getitem__, words), np.uint64, len(words))


def ngrams(hashes: Hashes, n: int) -> Hashes:
    """Hashes of the runs of ``n`` words, in order, from the words' own: a polynomial modulo 2**64."""
    count = max(len(hashes) - n + 1, 0)
    total = np.zeros(count, np.uint64)
    for first in range(n if count else 0):
        total *= _BASE
        total += hashes[first : first + count]
    return total


def shingles(hashes: Hashes, n: int) -> Hashes:
    """The set of a text's word n-grams, sorted and never empty: a text of fewer words is one run of all of them."""
    runs = ngrams(hashes, min(n, len(hashes))) if len(hashes) else np.zeros(1, np.uint64)
    return members(runs)


def members(hashes: Hashes) -> Hashes:
    """The set of ``hashes``, sorted."""
    ordered = np.sort(hashes)  # np.unique of numpy 2.4 takes twenty times as long
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def jaccard(a: Hashes, b: Hashes) -> float:
    """Shared members of two sorted sets, of all members of both."""
    both = np.concatenate((a, b))
    both.sort(kind="stable")  # merges two sorted runs: a third of the time of looking up the one in the other
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared)
