"""C4's line rules: what they remove, what they drop, and what a document keeps of its structure."""

from dataclasses import replace

import pytest

from stages.web.rules import c4
from stages.web.rules.page import Page
from stages.web.rules.rule import first_broken
from stages.web.rules.words import Vocabulary
from tests.web.rules.datatrove_limits import CLEANING, LIMITS

# As datatrove has them, but for lines that are too short, and a bound that a test can reach.
RULES = replace(CLEANING, keep_structure=True, max_word_length=100)
LINES = [f"Sentence number {n} stands on a line of its own." for n in range(6)]


def cleaned(text: str, rules: c4.Cleaning = RULES, language: str = "en") -> c4.Lines:
    return c4.clean(Page(text, Vocabulary(language)), rules)


@pytest.mark.parametrize(
    "line",
    [
        "Please enable JavaScript to see this page.",
        "By going on you accept our privacy policy and more.",
        "This site uses cookies for your own good.",
        "A line with " + "x" * 101 + " in it.",
    ],
)
def test_removes_lines(line: str) -> None:
    lines = cleaned("\n".join([*LINES, line]))
    assert (lines.text, lines.seen) == ("\n".join(LINES), LINES)
    assert lines.removed == 1


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("de", "Mehr dazu steht in der Datenschutzerklärung des Anbieters."),
        ("fr", "Ce site utilise des cookies pour mesurer son audience."),
        ("es", "Consulte nuestra política de privacidad para saber más."),
        ("ru", "Прочитайте нашу политику конфиденциальности на этой странице."),
        ("zh", "请阅读我们的隐私政策以了解更多信息。"),
        ("ar", "يرجى قراءة سياسة الخصوصية الخاصة بنا هنا."),
    ],
)
def test_removes_policies_in_other_languages(language: str, line: str) -> None:
    assert cleaned("\n".join([*LINES, line]), language=language).text == "\n".join(LINES)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\n".join([*LINES, "Here lorem ipsum begins to flow."]), "c4_lorem_ipsum"),
        ("\n".join([*LINES, "if (a) { return b; }"]), "c4_curly_bracket"),
        ("One line here. And a second.\nA third line.", "c4_too_few_sentences"),
        ("A heading\n\n- item", "c4_too_few_sentences"),
        ("\n".join([*LINES, "javascript: { return b; }"]), None),
    ],
)
def test_drops_pages(text: str, reason: str | None) -> None:
    assert first_broken(c4.RULES, c4.scores(cleaned(text)), LIMITS) == reason


def test_structure_stays_but_is_not_judged() -> None:
    code = "```\n  for each\n    use javascript twice [1]\n```"
    text = "\n\n".join(["# Title", *LINES, "- item", code])
    lines = cleaned(text)
    assert lines.text == text
    assert lines.seen == LINES  # not the title, the item, the code
    flat = cleaned(text, replace(RULES, keep_structure=False))
    assert (flat.text, flat.seen) == ("\n".join(LINES), LINES)


def test_a_removed_line_leaves_no_gap() -> None:
    lines = cleaned("\n\n".join([*LINES[:3], "Turn on JavaScript to go on.", *LINES[3:]]))
    assert lines.text == "\n\n".join(LINES)


def test_citations_go_when_wanted() -> None:
    cited = "\n".join([*LINES, "It was shown before.[12] And again.[citation needed]"])
    assert cleaned(cited).text.endswith("It was shown before. And again.")
    assert cleaned(cited, replace(RULES, citations=False)).text == cited


def test_end_punctuation_as_in_the_paper() -> None:
    lines = cleaned(
        "\n".join([*LINES, "a menu entry here", "and this goes on..."]), replace(RULES, end_punctuation=True)
    )
    assert lines.text == "\n".join(LINES)


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("One sentence without an end", 1),
        ("One. Two! Three?", 3),
        ('He said "No." Then he left.', 2),
        ("Use e.g. version 1.2 of it.", 1),
        ("Wait... what?!  Yes.", 2),
    ],
)
def test_counts_sentences(line: str, count: int) -> None:
    assert c4.sentences(Page(line, Vocabulary("en")).words) == count
    assert c4.sentences(Page(f"{line}\n\n{line}", Vocabulary("en")).words) == 2 * count
