"""Words come out as spaCy splits them, on which the thresholds of the rules were set."""

import numpy as np
import pytest

from stages.web import words
from stages.web.words import Vocabulary


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        ("word", ["word"]),
        ("end.", ["end", "."]),
        ('"Quoted,"', ['"', "Quoted", ",", '"']),
        ("(see)", ["(", "see", ")"]),
        ("don't", ["do", "n't"]),
        ("we've", ["we", "'ve"]),
        ("user's", ["user", "'s"]),
        ("well-known", ["well", "-", "known"]),
        ("and/or", ["and/or"]),
        ("e.g.", ["e.g."]),
        ("(i.e.", ["(", "i.e."]),
        ("https://www.debian.org/doc/?a=b", ["https://www.debian.org/doc/?a=b"]),
        ("10km", ["10", "km"]),
        ("3.14", ["3.14"]),
        ("wait...", ["wait", "..."]),
        ("$5", ["$", "5"]),
        ("key=value", ["key", "=", "value"]),
        ("/etc/apt/sources.list.d", ["/etc", "/", "apt", "/", "sources.list.d"]),
    ],
)
def test_splits_as_spacy_does(piece: str, expected: list[str]) -> None:
    assert words.split(piece) == expected


def test_words_carry_what_the_rules_count() -> None:
    found = Vocabulary(["the", "of"]).words("The end of the 2 worlds, …")
    assert found.lengths.tolist() == [3, 3, 2, 3, 1, 6, 1, 1]
    assert found.symbolic.tolist() == [False] * 6 + [True] * 2
    assert found.alphabetic.tolist() == [True] * 4 + [False, True, False, False]
    assert int(np.bitwise_or.reduce(found.stop)).bit_count() == 2


def test_a_vocabulary_that_forgets_gives_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(f"word{number} (and, so-on)" for number in range(6000))
    once = Vocabulary([]).words(text)
    monkeypatch.setattr(words, "_LIMIT", 10)
    forgetful = Vocabulary([])
    forgetful.words("some other words that push it over its limit of ten pieces of text")
    again = forgetful.words(text)
    assert np.array_equal(once.hashes, again.hashes)
    assert np.array_equal(once.lengths, again.lengths)
