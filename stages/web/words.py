"""Words as the quality rules count them: spaCy's English tokenisation, without spaCy.

Gopher's, C4's and FineWeb's thresholds were set on the tokens of a linguistic tokeniser, in which a comma is a word of
its own. datatrove takes spaCy's for that; this follows its algorithm (affixes off, then URLs, then infixes) with the
rules of spacy/lang/punctuation.py reduced to those that occur. Text is split at white space and each distinct piece is
tokenised once, so a document costs one dictionary look-up per piece.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import regex
import xxhash
from datatrove.utils.text import PUNCTUATION_SET

from stages.web.shingles import ngrams

# Distinct pieces kept at most; about 300 bytes each.
_LIMIT = 1_000_000

_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
_PUNCT = r"…,:;!?¿؟¡()\[\]{}<>_#*&。？！，、；：～·।،۔؛٪"
_CURRENCY = r"\p{Sc}"
_UNITS = (
    "km²|km³|km|m/s|m²|m³|mm²|mm³|mm|mb|mbar|mph|mg|m|dm²|dm³|dm|cm²|cm³|cm|ha|µm|µg|nm|yd|in|ft|kg|km/h|kmh|kb|g|t|lb|oz|"
    "hPa|Pa|MB|KB|gb|GB|tb|TB|T|G|M|K|%"
)

_PREFIX = regex.compile(rf"\.\.+|US\$|[CA]\$|\+(?![0-9])|[§%=—–{_PUNCT}{_QUOTES}{_CURRENCY}\p{{So}}]")
_SUFFIX = regex.compile(
    rf"(?:\.\.+|['’][sS]|(?<=[0-9])\+|(?<=[0-9])(?:{_UNITS}|{_CURRENCY})|"
    rf"(?<=[0-9\p{{Ll}}\p{{Lo}}%²\-+{_PUNCT}{_QUOTES}]|[\p{{Lu}}\p{{Lo}}]{{2}}|°[FfCcKk])\.|[—–{_PUNCT}{_QUOTES}\p{{So}}])$"
)
_INFIX = regex.compile(
    rf"\.\.+|…|\p{{So}}|(?<=[0-9])[+\-*^](?=[0-9-])|(?<=[\p{{Ll}}\p{{Lo}}{_QUOTES}])\.(?=[\p{{Lu}}\p{{Lo}}{_QUOTES}])|"
    r"(?<=\p{L}),(?=\p{L})|(?<=[\p{L}0-9])(?:---?|——|[-–—~])(?=\p{L})|(?<=[\p{L}0-9])[:<>=/](?=\p{L})"
)
# Host names end in two or more lower-case letters; the bounds keep the match linear.
_URL = regex.compile(
    r"(?:[\w+.\-]{2,40}://)?(?:[^\s@]{1,200}@)?(?:(?:[a-z0-9\u00a1-\uffff][a-z0-9\u00a1-\uffff_-]{0,62})\.)+"
    r"(?-i:[\p{Ll}\p{Lo}]{2,63})(?::\d{2,5})?(?:[/?#]\S*)?",
    regex.IGNORECASE,
)
_CONTRACTION = regex.compile(r"(\p{L}+?)(n['’]t|['’](?:re|ve|ll|d|m))", regex.IGNORECASE)
# Kept whole although a rule would split them; those that documents have, of spacy/lang/en/tokenizer_exceptions.py.
_ABBREVIATIONS = frozenset(
    """
    and/or w/o C++ ' '' ’ ’’ i.e. e.g. I.e. E.g. I.E. E.G. a.m. p.m. v.s. vs. co. Co. Corp. Inc. Ltd. Bros. Dr. Mr.
    Mrs. Ms. Prof. Gen. Gov. Rep. Rev. Sen. St. Jr. Mt. Messrs. Ph.D. D.C. N.C. N.D. N.H. N.J. N.M. N.Y. S.C. Adm. Jan.
    Feb. Mar. Apr. Jun. Jul. Aug. Sep. Sept. Oct. Nov. Dec. Ala. Ariz. Ark. Calif. Colo. Conn. Del. Fla. Ga. Ia. Id.
    Ill. Ind. Kan. Ky. La. Mass. Md. Mich. Minn. Miss. Mo. Mont. Neb. Nev. Okla. Ore. Pa. Tenn. Va. Wash. Wis.
    a. b. c. d. e. f. g. h. i. j. k. l. m. n. o. p. q. r. s. t. u. v. w. x. y. z. ä. ö. ü.
    :) :( ;) :D :P :/ :-) :-( ;-) :-/ \\n \\t
    """.split()  # noqa: SIM905
)


def split(piece: str) -> list[str]:
    """The words of a piece of text that has no white space in it."""
    words: list[str] = []
    suffixes: list[str] = []
    start, end = 0, len(piece)
    while start < end:
        rest = piece[start:end]
        if rest in _ABBREVIATIONS:
            break
        prefix = _PREFIX.match(rest)
        if prefix:
            words.append(prefix[0])
            start += len(prefix[0])
            rest = piece[start:end]
            if rest in _ABBREVIATIONS:
                break
        suffix = _SUFFIX.search(rest)
        if suffix:
            suffixes.append(suffix[0])
            end -= len(suffix[0])
        if not prefix and not suffix:
            break
    if start < end:
        words += _inner(piece[start:end])
    return words + suffixes[::-1]


def _inner(piece: str) -> Iterator[str] | list[str]:
    if piece in _ABBREVIATIONS or piece.isalnum():
        return [piece]
    contraction = _CONTRACTION.fullmatch(piece)
    if contraction:
        return contraction.groups()
    if _URL.fullmatch(piece):
        return [piece]
    return _infixed(piece)


def _infixed(piece: str) -> Iterator[str]:
    offset = 0
    for infix in _INFIX.finditer(piece):
        if infix.start() > offset:
            yield piece[offset : infix.start()]
        yield infix[0]
        offset = infix.end()
    if offset < len(piece):
        yield piece[offset:]


@dataclass(frozen=True)
class Words:
    """The words of a text in order; every array has one entry per word."""

    hashes: npt.NDArray[np.uint64]
    lengths: npt.NDArray[np.int64]
    """Characters."""
    symbolic: npt.NDArray[np.bool_]
    """Made of punctuation only."""
    alphabetic: npt.NDArray[np.bool_]
    """Has a letter."""
    stop: npt.NDArray[np.uint64]
    """One bit for each stop word, 0 for other words."""

    def __len__(self) -> int:
        return len(self.hashes)

    def ngrams(self, n: int) -> npt.NDArray[np.uint64]:
        """A hash for each run of ``n`` words, in order; empty where there are fewer words."""
        return ngrams(self.hashes, n)


class Vocabulary(dict[str, tuple[int, ...]]):
    """Pieces of text to the numbers of their words; tokenises what it meets for the first time.

    Args:
        stop_words: At most 64, case-sensitive.
    """

    def __init__(self, stop_words: Iterable[str]) -> None:
        super().__init__()
        self._stop = {word: 1 << bit for bit, word in enumerate(sorted(set(stop_words)))}
        self._forget()

    def _forget(self) -> None:
        self.clear()
        self._numbers: dict[str, int] = {}
        self._table = np.zeros(4096, _ROW)

    def __missing__(self, piece: str) -> tuple[int, ...]:
        numbers = self[piece] = tuple(self._number(word) for word in split(piece))
        return numbers

    def _number(self, word: str) -> int:
        number = self._numbers.get(word)
        if number is None:
            number = self._numbers[word] = len(self._numbers)
            if number == len(self._table):
                self._table = np.concatenate([self._table, np.zeros_like(self._table)])
            symbolic = PUNCTUATION_SET.issuperset(word)
            alphabetic = any(map(str.isalpha, word))
            row = (xxhash.xxh3_64_intdigest(word.encode()), len(word), symbolic, alphabetic, self._stop.get(word, 0))
            self._table[number] = row
        return number

    def words(self, text: str) -> Words:
        """The words of ``text``."""
        if len(self) > _LIMIT:
            self._forget()
        numbers = np.fromiter(chain.from_iterable(map(self.__getitem__, text.split())), np.int64)
        rows = self._table[numbers]
        return Words(rows["hash"], rows["length"], rows["symbolic"], rows["alphabetic"], rows["stop"])


_ROW: Any = np.dtype([("hash", "u8"), ("length", "i8"), ("symbolic", "?"), ("alphabetic", "?"), ("stop", "u8")])
