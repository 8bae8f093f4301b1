"""A heading asks, its section answers."""

from collections import Counter
from pathlib import Path

import pytest

from stages.core.errors import HeadwaterError
from stages.core.params import check
from stages.core.shards import files
from stages.text import headings
from stages.text.headings import Headings, Section
from tests.text import corpus

PARAMS = Headings(questions=("What is {heading}?", "{title}: {heading}?"), max_heading=40, min_answer=10, max_answer=60)

PAGE = """Menu, which no heading asks for.

# The Weir ¶

A weir is a low dam. It holds the river back
at all times, whatever the miller may say.

## 2.1. Its parts

- sill
- apron

## A list comes first, and this heading is far too long to be asked

Never used.

## Example

```
# not a heading
```

## Care

Clean it. Then:

| tool | use |

## ***

There are no letters in that heading.
"""


def section(document: str, heading: str, title: str = "Page", number: int = 1) -> Section:
    """A section that answers with its own heading."""
    return Section(document, number, title, heading, f"It is {heading}.")


def test_sections_are_split_at_headings_outside_of_code() -> None:
    found = dict(headings.split(PAGE))
    assert list(found)[:2] == ["The Weir", "Its parts"]
    assert "# not a heading" in found["Example"]
    assert not any("Menu" in body for body in found.values())


@pytest.mark.parametrize(
    ("heading", "clean"),
    [
        ("## 5.3.1. Constraints", "Constraints"),
        ("# Chapter 5. Data Definition", "Data Definition"),
        ("### B.2 Keywords", "Keywords"),
        ("# 3 ways to cook", "3 ways to cook"),
        ("# A guide", "A guide"),
        ("#  TCP/IP   settings¶", "TCP/IP settings"),
    ],
)
def test_a_headings_number_is_left_out(heading: str, clean: str) -> None:
    assert [found for found, _ in headings.split(f"{heading}\ntext")] == [clean]


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("One. Two. Three is long.", "One. Two."),
        ("One two three four five.", ""),
        ("One.\n\nTwo.\n\n- item", "One.\n\nTwo."),
        ("One:\n\nTwo.", ""),
        ("One.\n\nTwo:\n\nIt.", "One."),
        ("| a | b |", ""),
        ("```\ncode.\n```", ""),
        ('He said "no." And', 'He said "no."'),
        ("Version 1.2 of x", ""),
        ("一。二。三四五六七八九十。", "一。二。"),
        ("Twelve lett.", "Twelve lett."),
        ("Twelve lett.x", ""),
        ("", ""),
    ],
)
def test_an_answer_is_whole_sentences_of_prose(body: str, answer: str) -> None:
    assert headings.prose(body, limit=13 if body.startswith("He") else 12) == answer


def test_a_shard_gives_its_sections_and_says_what_became_of_the_others(tmp_path: Path) -> None:
    (shard,) = files(corpus.write(tmp_path / "documents", [PAGE, "No heading."], shards=1))
    counts = headings.collect(PARAMS, [shard], {"sections": tmp_path / "sections.jsonl"})
    assert counts == {"in": 6, "out": 1, "dropped": {"unfit_heading": 2, "no_prose": 2, "short_answer": 1}}
    expected = Section(corpus.name(PAGE), 0, "The Weir", "The Weir", "A weir is a low dam.")
    assert headings.load([tmp_path / "sections.jsonl"]) == [expected]


def test_a_heading_on_several_pages_is_asked_with_the_page() -> None:
    sections = [section("a", "Notes", "Weirs"), section("b", "Notes", "Locks"), section("b", "Gates", "Locks", 2)]
    found, dropped = headings.ask(sections, PARAMS.questions, seed=1)
    questions = [one.messages[0].content for one in found]
    assert questions[:2] == ["Weirs: Notes?", "Locks: Notes?"]
    assert questions[2] in {"What is Gates?", "Locks: Gates?"}
    assert dropped == {"ambiguous_heading": 0, "repeated_question": 0}


def test_no_question_is_asked_twice_and_none_that_could_mean_another_page() -> None:
    sections = [
        section("a", "Notes", "Manual"),
        section("b", "notes", "Manual"),
        section("c", "Manual", "Manual"),
        section("d", "Manual", "Manual"),
    ]
    found, dropped = headings.ask(sections, PARAMS.questions, seed=1)
    assert [one.messages[0].content for one in found] == ["Manual: Notes?"]
    assert dropped == {"ambiguous_heading": 2, "repeated_question": 1}


def test_a_heading_that_asks_is_taken_as_it_is_and_braces_in_it_stay() -> None:
    found, _ = headings.ask([section("a", "Why {title}?"), section("b", "{title}")], PARAMS.questions[:1], seed=1)
    assert [one.messages[0].content for one in found] == ["Why {title}?", "What is {title}?"]


def test_every_way_to_ask_is_used() -> None:
    found, _ = headings.ask([section(str(n), f"Part {n}") for n in range(60)], PARAMS.questions, seed=1)
    ways = Counter(one.messages[0].content.startswith("Page: ") for one in found)
    assert min(ways[True], ways[False]) > 15


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        (["What is it?"], "every question holds {heading}"),
        (["{heading} in {page}", "{heading}"], "every question holds {heading}"),
        (["{title}: {heading}"], "needs a question without {title}"),
        ([], "needs a question without {title}"),
    ],
)
def test_questions_that_cannot_be_put_are_refused(questions: list[str], message: str) -> None:
    values = {"questions": questions, "max_heading": 40, "min_answer": 10, "max_answer": 60}
    with pytest.raises(HeadwaterError, match=rf"headings\.questions: {message}"):
        check(Headings, values, where="params.yaml: finetune.headings")
