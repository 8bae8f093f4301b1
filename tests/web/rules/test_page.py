"""The marks that `extract` writes are no text that a document is judged by, and stay in it."""

from dataclasses import replace

from stages import filter as stage
from stages.core.params import load
from stages.web.rules import quality, repetition
from stages.web.rules.annotation import Annotator, Task
from stages.web.rules.page import Page
from stages.web.rules.words import Vocabulary

GUIDE = "\n\n".join(
    f"### Step {step}\n\nTell the machine {step} times what to do, and wait.\n\n```\n# again\nmake part{step}\n```"
    for step in range(1, 9)
)


def test_headings_and_fences_are_no_repeated_lines_and_no_hashes() -> None:
    page = Page(GUIDE, Vocabulary("en"), marks=False)
    assert page.lines[:7] == [
        "Step 1",
        "",
        "Tell the machine 1 times what to do, and wait.",
        "",
        "",
        "# again",
        "make part1",
    ]
    assert len(page.lines) == len(GUIDE.splitlines())
    assert repetition.scores(page)["repeated_lines"] == 7 / 32  # of code alone
    assert quality.gopher_scores(page)["hashes"] == 8 / len(page.words)


def test_marks_count_where_they_are_asked_for() -> None:
    page = Page(GUIDE, Vocabulary("en"))
    assert page.text == GUIDE
    assert repetition.scores(page)["repeated_lines"] > 0.3
    assert quality.gopher_scores(page)["hashes"] > 0.1


def test_marks_stay_in_the_document() -> None:
    asked = load(stage.Params, "filter").annotate
    document = {"url": "https://a.example/", "language": "en", "text": f"{GUIDE}\n\n## We use cookies for ads"}
    for marks, citations in ((True, False), (False, False), (False, True)):
        task = Task((), False, replace(asked, marks=marks, lines=replace(asked.lines, citations=citations)))
        (row,) = Annotator(task, [])([document])
        assert row["cleaned"] == GUIDE  # without the line of the cookies
