"""C4's line rules: what they remove, what they drop, and what a document keeps of its structure."""

from dataclasses import replace

import pytest

from stages.web import c4

RULES = c4.C4(
    min_sentences=5,
    min_line_words=3,
    keep_structure=True,
    max_word_length=100,
    end_punctuation=False,
    javascript=True,
    policy=True,
    citations=True,
    lorem_ipsum=True,
    curly_bracket=True,
)
LINES = [f"Sentence number {n} stands on a line of its own." for n in range(6)]


def cleaned(text: str, rules: c4.C4 = RULES) -> c4.Lines:
    lines = c4.clean(text, rules)
    assert isinstance(lines, c4.Lines), lines
    return lines


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
    assert lines.text == lines.seen == "\n".join(LINES)
    assert lines.removed == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\n".join([*LINES, "Here lorem ipsum begins to flow."]), "c4_lorem_ipsum"),
        ("\n".join([*LINES, "if (a) { return b; }"]), "c4_curly_bracket"),
        ("One line here. And a second.\nA third line.", "c4_too_few_sentences"),
    ],
)
def test_drops_pages(text: str, reason: str) -> None:
    assert c4.clean(text, RULES) == reason


def test_structure_stays_but_is_not_judged() -> None:
    code = "```\n  for each\n    use javascript twice [1]\n```"
    text = "\n\n".join(["# Title", *LINES, "- item", code])
    lines = cleaned(text)
    assert lines.text == text
    assert lines.seen == "\n".join(LINES)  # not the title, the item, the code
    flat = cleaned(text, replace(RULES, keep_structure=False))
    assert (flat.text, flat.seen) == (lines.seen, lines.seen)


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
    assert c4.sentences(line) == count
