"""Each rule against repetition drops what it is for, counted as in datatrove."""

import random
from collections.abc import Callable

import pytest

from stages.web import repetition
from stages.web.page import Page
from stages.web.repetition import Repetition
from stages.web.words import Vocabulary

LIMITS = Repetition(
    lines=0.3,
    line_characters=0.2,
    paragraphs=0.3,
    paragraph_characters=0.2,
    top_ngrams={2: 0.2, 3: 0.18, 4: 0.16},
    repeated_ngrams={5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1},
)


def prose(count: int, seed: int = 0) -> str:
    draw = random.Random(seed)
    return " ".join("".join(draw.choices("abcdefghij", k=5)) for _ in range(count))


PARAGRAPHS = [prose(12, seed) for seed in range(20)]
SHORT_TWICE = "\n".join(["ab", "ab", "ab", *PARAGRAPHS[:3]])
LONG_TWICE = "\n".join([*PARAGRAPHS, *[prose(150)] * 2])


@pytest.mark.parametrize(
    ("rule", "text", "reason"),
    [
        (repetition.repeated_paragraphs, SHORT_TWICE.replace("\n", "\n\n"), "gopher_repeated_paragraphs"),
        (repetition.repeated_paragraphs, LONG_TWICE.replace("\n", "\n\n"), "gopher_repeated_paragraph_characters"),
        (repetition.repeated_lines, SHORT_TWICE, "gopher_repeated_lines"),
        (repetition.repeated_lines, LONG_TWICE, "gopher_repeated_line_characters"),
        (repetition.top_ngrams, prose(30) + " buy now" * 12, "gopher_top_2_gram"),
        (repetition.top_ngrams, " ".join(f"all of {word}" for word in prose(40).split()), "gopher_top_2_gram"),
        (repetition.repeated_ngrams, " ".join([prose(40)] * 2), "gopher_repeated_5_grams"),
        (repetition.repeated_ngrams, " ".join([prose(120), *[prose(20, 1)] * 2]), "gopher_repeated_10_grams"),
    ],
)
def test_drops_repetition(rule: Callable[[Page, Repetition], str | None], text: str, reason: str) -> None:
    assert rule(Page(text, Vocabulary([])), LIMITS) == reason


@pytest.mark.parametrize("rule", repetition.RULES)
def test_keeps_text_that_does_not_repeat(rule: Callable[[Page, Repetition], str | None]) -> None:
    assert rule(Page("\n\n".join(PARAGRAPHS), Vocabulary([])), LIMITS) is None


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_never_hides_a_repetition(seed: int) -> None:
    draw = random.Random(seed)
    text = " ".join(draw.choice(PARAGRAPHS[:6])[: draw.randrange(10, 60)] for _ in range(12))
    page = Page(text, Vocabulary([]))
    slow = next(
        (n for n, share in LIMITS.repeated_ngrams.items() if _repeated(text.split(), n) / len(text) > share), None
    )
    assert repetition.repeated_ngrams(page, LIMITS) == (f"gopher_repeated_{slow}_grams" if slow else None)


def _repeated(words: list[str], n: int) -> int:
    """datatrove's find_all_duplicate, as it stands there."""
    unique: set[str] = set()
    repeated = index = 0
    while index < len(words) - n + 1:
        gram = "".join(words[index : index + n])
        if gram in unique:
            repeated += len(gram)
            index += n
        else:
            unique.add(gram)
            index += 1
    return repeated
