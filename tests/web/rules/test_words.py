"""Words carry what the rules count of them, found once for each distinct word."""

import numpy as np
import pytest

from stages.web.rules import words
from stages.web.rules.page import Page
from stages.web.rules.words import Vocabularies, Vocabulary


def test_words_carry_what_the_rules_count() -> None:
    found = Page("The end of\nthe 2 worlds, …", Vocabulary("en", ["the", "of"], listed={"end"})).words
    assert found.lengths.tolist() == [3, 3, 2, 3, 1, 6, 1, 1]
    assert found.are(words.SYMBOLIC).tolist() == [False] * 6 + [True] * 2
    assert found.are(words.ALPHABETIC).tolist() == [True] * 4 + [False, True, False, False]
    assert found.are(words.TERMINAL).tolist() == [False] * 8
    assert found.are(words.LISTED).tolist() == [False, True] + [False] * 6
    assert found.stop.tolist() == [0, 0, 1, 2, 0, 0, 0, 0]
    assert found.lines.tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


def test_words_of_some_lines() -> None:
    page = Page("one two.\n\nthree\nfour five", Vocabulary("en"))
    chosen = page.words.of_lines(np.array([True, False, False, True]))
    assert chosen.hashes.tolist() == page.words_of(["one two.", "four five"]).hashes.tolist()
    assert chosen.lines.tolist() == [0, 0, 0, 3, 3]


def test_vocabularies_that_forget_give_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(f"word{number} (and, so-on)" for number in range(6000))
    once = Page(text, Vocabulary("en")).words
    monkeypatch.setattr(words, "_LIMIT", 10)
    forgetful = Vocabularies()
    for _ in range(2):
        again = Page(text, forgetful.of("en")).words
        forgetful.of("de").words([["andere", "Wörter"]])
        assert np.array_equal(once.hashes, again.hashes)
        assert np.array_equal(once.lengths, again.lengths)


def test_vocabularies_of_many_languages_know_no_more_pieces_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_LIMIT", 1000)
    known = Vocabularies()
    for number in range(50):
        known.of(f"x{number}").words([[f"word{number}-{place}" for place in range(100)]])
    assert sum(len(known.of(f"x{number}")) for number in range(50)) <= 1000
