"""Each rule of quality drops what it is for and keeps plain prose."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from stages.web.rules import quality
from stages.web.rules.page import Page
from stages.web.rules.rule import first_broken
from stages.web.rules.words import Vocabulary
from tests.web.rules import datatrove_limits

PROSE = "\n".join(
    f"The {n}th sentence of this page is there to be read, and it ends with a full stop." for n in range(9)
)
# As datatrove has them, but for a bound that a test can reach.
LIMITS = SimpleNamespace(gopher=replace(datatrove_limits.LIMITS.gopher, max_words=1000))


def gopher(text: str) -> str | None:
    page = Page(text, Vocabulary("en", ["the", "be", "to", "of", "and", "that", "have", "with"]))
    return first_broken(quality.GOPHER, quality.gopher_scores(page), LIMITS)


def fineweb(text: str) -> str | None:
    page = Page(text, Vocabulary("en"))
    return first_broken(
        quality.FINEWEB,
        quality.fineweb_scores(page.lines, page.words, datatrove_limits.SHORT_LINE),
        datatrove_limits.LIMITS,
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("too short to be of use", "gopher_too_few_words"),
        ("word " * 1001, "gopher_too_many_words"),
        ("a b cd " * 50, "gopher_short_words"),
        ("incomprehensibilities " * 50, "gopher_long_words"),
        ("# tag " * 50, "gopher_hashes"),
        ("and so they went on ... " * 50, "gopher_ellipses"),
        ("\n".join(["- one item of many"] * 20), "gopher_bullets"),
        (
            "\n".join(
                ["we read all of what they have to say about the matter…", "and the rest of it as well that evening."]
                * 9
            ),
            "gopher_line_ellipses",
        ),
        ("sentence 12 34 " * 60, "gopher_not_alphabetic"),
        ("the same the same " * 20, "gopher_stop_words"),
        (PROSE, None),
    ],
)
def test_gopher(text: str, reason: str | None) -> None:
    assert gopher(text) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\n".join([f"entry {n} of a long menu" for n in range(9)]), "fineweb_line_punctuation"),
        ("\n".join(f"{n} is short." for n in range(9)), "fineweb_short_lines"),
        ("\n".join([PROSE, *["And this again."] * 3]), "fineweb_repeated_lines"),
        ("\n".join([f"those {n} long-windedly administrative responsibilities." for n in "abcdefghij"]), None),
        ("\n".join(f"{n * 31}." for n in "abcdefgh"), "fineweb_newlines"),
        (PROSE, None),
    ],
)
def test_fineweb(text: str, reason: str | None) -> None:
    assert fineweb(text) == reason
