"""Each rule of quality drops what it is for and keeps plain prose."""

from collections.abc import Callable
from typing import Any

import pytest

from stages.core.params import load
from stages.filter import Params
from stages.web import quality
from stages.web.page import Page
from stages.web.words import Vocabulary

PROSE = "\n".join(
    f"The {n}th sentence of this page is there to be read, and it ends with a full stop." for n in range(9)
)
STOP_WORDS = ["the", "be", "to", "of", "and", "that", "have", "with"]
GOPHER = quality.Gopher(
    min_words=50,
    max_words=1000,
    min_word_length=3,
    max_word_length=10,
    max_symbols=0.1,
    max_bullets=0.9,
    max_ellipses=0.3,
    min_alphabetic=0.8,
    min_stop_words=2,
    stop_words=STOP_WORDS,
)
FINEWEB = quality.FineWeb(
    min_punctuation=0.12, short_line=30, max_short_lines=0.67, max_repeated_characters=0.01, max_newlines=0.3
)


def judge(rule: Callable[[Page, Any], str | None], text: str, limits: Any) -> str | None:
    return rule(Page(text, Vocabulary(STOP_WORDS)), limits)


@pytest.mark.parametrize(
    ("rule", "text", "reason"),
    [
        (quality.word_count, "too short to be of use", "gopher_too_few_words"),
        (quality.word_count, "word " * 1001, "gopher_too_many_words"),
        (quality.word_length, "a b cd " * 50, "gopher_short_words"),
        (quality.word_length, "incomprehensibilities " * 50, "gopher_long_words"),
        (quality.symbols, "# tag " * 50, "gopher_hashes"),
        (quality.symbols, "and so on ... " * 50, "gopher_ellipses"),
        (quality.line_ends, "\n".join(["- one item of many"] * 20), "gopher_bullets"),
        (quality.line_ends, "\n".join(["read more…", "read on...", "a line"] * 9), "gopher_line_ellipses"),
        (quality.alphabetic, "word 12 34 " * 30, "gopher_not_alphabetic"),
        (quality.stop_words, "the same the same " * 20, "gopher_stop_words"),
    ],
)
def test_gopher_drops(rule: Callable[[Page, Any], str | None], text: str, reason: str) -> None:
    assert judge(rule, text, GOPHER) == reason


@pytest.mark.parametrize(
    ("rule", "text", "reason"),
    [
        (quality.punctuation, "\n".join([f"entry {n} of a long menu" for n in range(9)]), "fineweb_line_punctuation"),
        (quality.short_lines, "\n".join(f"{n} is short." for n in range(9)), "fineweb_short_lines"),
        (quality.repeated_characters, "\n".join([PROSE, *["And this again."] * 3]), "fineweb_repeated_lines"),
        (quality.newlines, "\n".join(["one two three"] * 12), "fineweb_newlines"),
    ],
)
def test_fineweb_drops(rule: Callable[[Page, Any], str | None], text: str, reason: str) -> None:
    assert judge(rule, text, FINEWEB) == reason


def test_prose_passes_every_rule() -> None:
    assert [judge(rule, PROSE, GOPHER) for rule in quality.GOPHER] == [None] * len(quality.GOPHER)
    assert [judge(rule, PROSE, FINEWEB) for rule in quality.FINEWEB] == [None] * len(quality.FINEWEB)


def test_newlines_count_words_where_pieces_are_too_few() -> None:
    # Ten line breaks in 31 pieces are too many, in the 62 words that spaCy finds there they are not.
    text = "\n".join(["(one) (two) (three)"] * 10 + ["end"])
    assert judge(quality.newlines, text, FINEWEB) is None


def test_the_parameters_of_the_project_are_complete() -> None:
    assert set(load(Params, "filter").gopher.stop_words) == set(STOP_WORDS)
