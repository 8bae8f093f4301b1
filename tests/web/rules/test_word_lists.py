"""Listed words and phrases are counted as a share of a text, in its language."""

import pytest

from stages.web.rules.page import Page
from stages.web.rules.word_lists import word_list
from stages.web.rules.words import Vocabulary


def share(text: str, language: str, own: tuple[str, ...] = (), *, shipped: bool = False) -> float:
    words = word_list(language, shipped, own)
    page = Page(text, Vocabulary(language, listed=words.words, heads=words.heads))
    return words.scores(page.words)["listed_words"]


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("A plain text of eight words, nothing else.", "en", 0),
        ("Foo and food, FOO! Barfoo bar.", "en", 2 / 6),  # whole words, in any case
        ("Some two words here, two other words.", "en", 2 / 7),  # a phrase counts for its words
        ("two", "en", 0),  # a phrase that is cut off
        ("…", "en", 0),
        ("这是一个坏词和好词。", "zh", 1 / 6),
    ],
)
def test_share_of_own_entries(text: str, language: str, expected: float) -> None:
    assert share(text, language, ("foo", "two words", "坏词")) == pytest.approx(expected)


@pytest.mark.parametrize("language", ["ar", "de", "en", "es", "fr", "ru", "zh"])
def test_there_is_a_list_for_the_main_languages(language: str) -> None:
    words = word_list(language, True, ())
    assert len(words.words) > 40
    worst = sorted(words.words)[:20]
    assert share(("" if language == "zh" else " ").join(worst), language, shipped=True) > 0.5


def test_ordinary_prose_has_none() -> None:
    assert share("The gardener walked down to the river to see whether the boat was there.", "en", shipped=True) == 0
