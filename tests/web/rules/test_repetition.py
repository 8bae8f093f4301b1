"""Each rule against repetition drops what it is for, counted as in datatrove."""

import random

import pytest
from datatrove.pipeline.filters.gopher_repetition_filter import find_all_duplicate, find_top_duplicate, get_n_grams

from stages.web.rules import repetition
from stages.web.rules.page import Page
from stages.web.rules.rule import first_broken
from stages.web.rules.words import Vocabulary
from tests.web.rules.datatrove_limits import LIMITS


def prose(count: int, seed: int = 0) -> str:
    draw = random.Random(seed)
    return " ".join("".join(draw.choices("abcdefghij", k=5)) for _ in range(count))


PARAGRAPHS = [prose(12, seed) for seed in range(20)]
SHORT_TWICE = "\n".join(["ab", "ab", "ab", *PARAGRAPHS[:3]])
LONG_TWICE = "\n".join([*PARAGRAPHS, *[prose(150)] * 2])


def judge(text: str) -> str | None:
    page = Page(text, Vocabulary("en"))
    return first_broken(repetition.RULES, repetition.scores(page), LIMITS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SHORT_TWICE.replace("\n", "\n\n"), "gopher_repeated_paragraphs"),
        (LONG_TWICE.replace("\n", "\n\n"), "gopher_repeated_paragraph_characters"),
        (SHORT_TWICE, "gopher_repeated_lines"),
        (LONG_TWICE, "gopher_repeated_line_characters"),
        (prose(30) + " buy now" * 12, "gopher_top_2_gram"),
        (" ".join(f"all of {word}" for word in prose(40).split()), "gopher_top_2_gram"),
        (" ".join([prose(40)] * 2), "gopher_repeated_5_grams"),
        (" ".join([prose(120), *[prose(20, 1)] * 2]), "gopher_repeated_10_grams"),
        ("\n\n".join(PARAGRAPHS), None),
        ("word", None),
    ],
)
def test_drops_repetition(text: str, reason: str | None) -> None:
    assert judge(text) == reason


def test_counts_as_datatrove_counts() -> None:
    draw = random.Random(0)
    for _ in range(200):
        words = draw.choices("abcdefghijklmnopqrstuvwxyz"[: draw.choice([2, 5, 26])], k=draw.randint(1, 150))
        for _ in range(draw.randint(0, 6)):  # runs of them once more
            start, length = draw.randrange(len(words)), draw.randint(1, 30)
            place = draw.randrange(len(words))
            words[place:place] = words[start : start + length]
        text = " ".join(words)
        scores = repetition.scores(Page(text, Vocabulary("xx")))
        for n in repetition.TOP:
            expected = find_top_duplicate(get_n_grams(words, n)) if len(words) >= n else 0
            assert scores[f"top_{n}_gram"] * len(text) == pytest.approx(expected)
        for n in repetition.REPEATED:
            assert scores[f"repeated_{n}_grams"] * len(text) == pytest.approx(find_all_duplicate(words, n))
