"""Questions and answers that pages hold already: a heading asks, the prose of its section answers."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import PositiveInt, field_validator

from stages.core import documents, shards
from stages.core.params import params
from stages.core.shards import Metrics
from stages.text.conversations import Conversation, Message
from stages.text.sampling import Given, Wanted, deal, draw_key

# "5.3.1. Constraints", "Chapter 5. Data Definition", "B.2 Keywords": the number says nothing to who asks.
_NUMBER = re.compile(r"^(?:\w+\s+)?(?:\d+|[A-Z])(?:\.\d+)*\.\s+|^(?:\d+|[A-Z])(?:\.\d+)+\s+")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]]*(?=\s|$)|[。！？][”’」』）]*")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_PLACE = re.compile(r"\{(\w*)\}")


@params
class Headings:
    """How sections of the training documents become conversations."""

    questions: tuple[str, ...]
    """Ways to ask; {heading} stands for the heading, {title} for the page's first one. Each section takes one by hash;
    a heading that is on several pages takes one with {title}."""
    max_heading: PositiveInt
    """Characters of the longest heading that asks."""
    min_answer: PositiveInt
    """Characters of the shortest answer."""
    max_answer: PositiveInt
    """Characters of the longest answer; it ends with the last sentence that ends before."""

    @field_validator("questions")
    @classmethod
    def _placeholders(cls, questions: tuple[str, ...]) -> tuple[str, ...]:
        if not any("{title}" not in question for question in questions):
            raise ValueError("needs a question without {title}, for pages that have none")
        for question in questions:
            if "{heading}" not in question or set(_PLACE.findall(question)) - {"heading", "title"}:
                raise ValueError(
                    f"every question holds {{heading}}, may hold {{title}}, and nothing else: {question!r}"
                )
        return questions


@dataclass(frozen=True)
class Section:
    """What stands under a heading of a document."""

    document: str
    number: int
    """Place among the document's headings."""
    title: str
    """The document's first heading, which may be this one."""
    heading: str
    answer: str


def collect(params: Headings, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Write the sections of one document shard that can be asked for, as JSON lines; counts sections."""
    (path,) = inputs
    counts: Counter[str] = Counter()
    written = 0
    with outputs["sections"].open("w", encoding="utf-8") as file:
        for document in documents.read(path, ("id", "text")):
            parts = list(split(document["text"]))
            title = parts[0][0] if parts else ""
            for number, (heading, body) in enumerate(parts):
                answer = prose(body, params.max_answer)
                if reason := _unfit(heading, answer, params):
                    counts[reason] += 1
                    continue
                section = Section(document["id"], number, title, heading, answer)
                file.write(json.dumps(asdict(section), ensure_ascii=False) + "\n")
                written += 1
    return {"in": written + counts.total(), "out": written, "dropped": dict(counts)}


def conversations(params: Headings, paths: Sequence[Path], wanted: Wanted, seed: int) -> Given[Conversation]:
    """Conversations made from document shards.

    Args:
        params: How.
        paths: Of the shards.
        wanted: How many, and how many of them to measure on.
        seed: Of the draw, and of the way each question is put.
    """
    units = [shards.Unit(inputs=(path,), outputs={"sections": f"{path.stem}.jsonl"}) for path in paths]
    built = shards.build(collect, params, units, label="finetune-headings", count="sections")
    found, dropped = ask(load([one.outputs["sections"] for one in built]), params.questions, seed)
    counts = shards.total(one.metrics for one in built)
    given = deal(found, wanted, seed, paths)
    given.dropped |= counts.get("dropped", {}) | dropped
    given.seen = counts.get("in", 0)
    return given


def load(paths: Sequence[Path]) -> list[Section]:
    """The sections that :func:`collect` wrote."""
    return [Section(**json.loads(line)) for path in paths for line in path.read_text("utf-8").split("\n") if line]


def ask(sections: Sequence[Section], questions: Sequence[str], seed: int) -> tuple[list[Conversation], dict[str, int]]:
    """A conversation for each section that can be asked for, no question twice; and how many sections cannot, and why.

    Args:
        sections: In the order of the documents; of those with the same question the first is taken.
        questions: See :class:`Headings`.
        seed: Chooses each section's question, by hash.
    """
    pages = Counter(heading for heading, _ in {(section.heading.casefold(), section.document) for section in sections})
    dropped = {"ambiguous_heading": 0, "repeated_question": 0}
    found: dict[str, Conversation] = {}
    for section in sections:
        source = f"document {section.document}, heading {section.number}"
        fitting = _fitting(section, questions, unique=pages[section.heading.casefold()] == 1)
        if not fitting:
            dropped["ambiguous_heading"] += 1
            continue
        # In one pass: a heading that itself reads "{title}" stays as it is.
        values = {"heading": section.heading, "title": section.title}
        question = _PLACE.sub(lambda place: values[place[1]], fitting[draw_key(source, seed) % len(fitting)])  # noqa: B023
        if question.casefold() in found:
            dropped["repeated_question"] += 1
            continue
        found[question.casefold()] = Conversation(
            source, (Message("user", question), Message("assistant", section.answer))
        )
    return list(found.values()), dropped


def _fitting(section: Section, questions: Sequence[str], *, unique: bool) -> list[str]:
    """The ways to ask for a section; with the title where the heading alone could mean another page."""
    if section.heading.endswith("?") and unique:
        return ["{heading}"]
    titled = section.title.casefold() != section.heading.casefold()
    return [question for question in questions if (titled if "{title}" in question else unique)]


def split(text: str) -> Iterator[tuple[str, str]]:
    """Heading, without marks and numbers, and body of each section of a document; what precedes them is left out."""
    heading = ""
    lines: list[str] = []
    in_code = False
    for line in text.split("\n"):
        in_code ^= line.startswith("```")
        if not in_code and re.match(r"#{1,6} ", line):
            if heading:
                yield heading, "\n".join(lines)
            heading, lines = _clean(line), []
        else:
            lines.append(line)
    if heading:
        yield heading, "\n".join(lines)


def prose(body: str, limit: int) -> str:
    """Whole sentences of the paragraphs that a section begins with, in at most ``limit`` characters; may be empty.

    They end before the first list, table, code or paragraph without the end of a sentence ("The steps are:").
    """
    paragraphs = []
    for paragraph in _BLANK_LINE.split(body.strip("\n")):
        listed = paragraph.startswith(("- ", "```", "|")) or " | " in paragraph
        if listed or not _SENTENCE_END.search(paragraph):
            break
        paragraphs.append(paragraph.strip())
    # One more character, so that the end of a sentence at the limit is seen for what it is.
    ends = [end.end() for end in _SENTENCE_END.finditer("\n\n".join(paragraphs)[: limit + 1]) if end.end() <= limit]
    return "\n\n".join(paragraphs)[: ends[-1]] if ends else ""


def _clean(line: str) -> str:
    heading = " ".join(line.lstrip("#").replace("¶", " ").split())
    return _NUMBER.sub("", heading).strip()


def _unfit(heading: str, answer: str, params: Headings) -> str | None:
    if not 3 <= len(heading) <= params.max_heading or not any(character.isalpha() for character in heading):
        return "unfit_heading"
    if not answer:
        return "no_prose"
    if len(answer) < params.min_answer:
        return "short_answer"
    return None
