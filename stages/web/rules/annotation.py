"""Scores every document of a shard: all that costs time, and nothing that a threshold changes.

A document's scores and its cleaned text are written once, beside it; the rules then only compare (see
:mod:`stages.web.rules.rule`), so that another threshold is a matter of seconds. The cleaning of lines belongs to this
side: FineWeb's rules count what C4's leave of a text, and to count again with other lines one would need the words of
every line, which is the text. Its few parameters are of the kind that one sets once.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import NonNegativeInt

from stages.core import arrow, documents
from stages.core.params import params
from stages.web.rules import blocklist, c4, classifier, given_models, personal_data, quality, repetition, word_lists
from stages.web.rules.page import Page
from stages.web.rules.words import Vocabularies, Vocabulary


@params
class Annotate:
    """What scores depend on; after a change every text is read again."""

    marks: bool
    """Whether the marks of headings and the fences of code, which `extract` writes, are judged as if they were text."""
    stop_words: dict[str, list[str]]
    """Words that running text has, by language, as they are written within a sentence."""
    short_line: NonNegativeInt
    """Characters up to which a line is short."""
    lines: c4.Cleaning
    """Lines that are taken out."""
    word_lists: word_lists.WordLists
    """Lists of obscene and hateful words."""
    classifier: classifier.Classifier
    """What the score of quality is made by."""
    personal_data: personal_data.PersonalData
    """What is replaced by a placeholder."""


@dataclass(frozen=True)
class Task:
    """What a unit of annotation is told."""

    languages: tuple[str, ...]
    """Documents in other languages get no scores but that of their URL; none means all."""
    blocklists: bool
    """Whether the second input is the array of listed hosts."""
    annotate: Annotate
    """Whose classifier, if it is of a kind, is the last input."""


TEXT_RULES = (
    *repetition.RULES,
    *quality.GOPHER,
    *c4.RULES,
    *quality.FINEWEB,
    *word_lists.RULES,
    *classifier.RULES,
)
"""In the order of FineWeb's recipe."""
SCORES = tuple(dict.fromkeys(rule.score for rule in (*blocklist.RULES, *TEXT_RULES)))
"""Names of the scores, which are columns."""
COUNTS = ("lines_removed", *(f"replaced_{kind}" for kind in personal_data.KINDS))
"""Names of the counts, which are columns too: what cleaning took out of the text, and what it replaced."""
CLEANED = "cleaned"
SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.float64()) for name in SCORES),
        *(pa.field(name, pa.int32()) for name in COUNTS),
        pa.field(CLEANED, pa.string()),  # null where it is the text as it came
    ]
)
_BATCH = 64  # documents in memory at a time


def annotate(task: Task, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> dict[str, Any]:
    """Write one row of scores for each document of a shard; a unit of work of the stage."""
    annotator = Annotator(task, inputs[1:])
    rows = documents.read(inputs[0], ("url", "language", "text"))
    count = 0
    with pq.ParquetWriter(outputs["scores"], SCHEMA, compression="zstd", compression_level=1) as writer:
        while batch := list(islice(rows, _BATCH)):
            writer.write_table(arrow.table(annotator(batch), SCHEMA))
            count += len(batch)
    return {"in": count}


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of :func:`annotate` in order: scores, counts and ``cleaned``."""
    return documents.read(path)


class Annotator:
    """Scores documents.

    Args:
        task: What is asked for.
        files: The array of listed hosts and the model, those that the task has.
    """

    def __init__(self, task: Task, files: Sequence[Path]) -> None:
        self._task = task
        self._urls = blocklist.Blocklist(files[0]) if task.blocklists else None
        self._quality = _model(task.annotate.classifier, files[-1]) if task.annotate.classifier.kind != "none" else None

    def __call__(self, batch: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """A row of scores for each document."""
        rows: list[dict[str, Any]] = [{} for _ in batch]
        if self._urls:
            rows = [dict(scores) for scores in self._urls.scores([document["url"] for document in batch])]
        judged: list[tuple[dict[str, Any], Page]] = []
        for row, document in zip(rows, batch, strict=True):
            wanted = not self._task.languages or document["language"] in self._task.languages
            page = self._page(document) if wanted else None
            if page and page.text.strip():
                row |= self._scores(page, document["language"])
                judged.append((row, page))
            elif page:
                row["seen_lines"] = 0  # nothing, or marks without text
        for (row, page), (text, found) in zip(judged, self._replaced(judged), strict=True):
            row[CLEANED] = None if text == page.source else text
            row |= {f"replaced_{kind}": found[kind] for kind in personal_data.KINDS}
        if self._quality:
            for (row, _), score in zip(judged, self._quality([page for _, page in judged]), strict=True):
                row["quality"] = score
        return rows

    def _page(self, document: Mapping[str, Any]) -> Page:
        vocabulary = self._vocabulary(document["language"])
        return Page(document["text"], vocabulary, marks=self._task.annotate.marks)

    def _scores(self, page: Page, language: str) -> dict[str, Any]:
        asked = self._task.annotate
        row: dict[str, Any] = {**repetition.scores(page), **quality.gopher_scores(page)}
        if language not in asked.stop_words:
            row["stop_words"] = None
        lines = c4.clean(page, asked.lines)
        row |= c4.scores(lines)
        if lines.seen:
            row |= quality.fineweb_scores(lines.seen, lines.words, asked.short_line)
        if asked.word_lists.shipped or asked.word_lists.own:
            row |= self._word_list(language).scores(page.words)
        return {**row, "lines_removed": lines.removed, CLEANED: lines.text}

    def _replaced(self, judged: Sequence[tuple[dict[str, Any], Page]]) -> list[tuple[str, Counter[str]]]:
        return personal_data.replace([row[CLEANED] for row, _ in judged], self._task.annotate.personal_data)

    def _word_list(self, language: str) -> word_lists.WordList:
        lists = self._task.annotate.word_lists
        return word_lists.word_list(language, lists.shipped, tuple(lists.own.get(language, ())))

    def _vocabulary(self, language: str) -> Vocabulary:
        stop_words = tuple(self._task.annotate.stop_words.get(language, ()))
        listed = self._word_list(language)
        return _vocabularies().of(language, stop_words, listed.words, listed.heads)


@functools.cache
def _vocabularies() -> Vocabularies:
    """Those of this process: what one shard taught them about words serves the next."""
    return Vocabularies()


def _model(rules: classifier.Classifier, path: Path) -> Any:
    if rules.kind == "trained":
        return classifier.HashedModel.load(path)
    kind = given_models.FastTextModel if rules.kind == "fasttext" else given_models.TransformersModel
    return kind(path, rules.label)
