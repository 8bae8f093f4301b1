"""A multiple-choice task made from held-out documents: which continuation is the true one."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, PositiveInt

from stages.core import documents
from stages.core.params import params
from stages.core.shards import Metrics

NAME = "heldout_cloze"

# A cut is moved on to the next white space if there is one this near; scripts without white space are cut where it is.
_REACH = 32


@params
class Cloze:
    """The task made from the held-out documents."""

    seed: int
    """Of the cuts, the other continuations and their order."""
    questions_per_document: PositiveInt
    """Places at which each document is cut."""
    choices: Annotated[int, Field(ge=2)]
    """Continuations to choose from: the true one and those of other documents in the same language."""
    context: PositiveInt
    """Text before the cut, in characters."""
    continuation: PositiveInt
    """Text of each continuation, in characters."""


@dataclass(frozen=True)
class _Passage:
    document: str
    url: str
    language: str
    context: str
    continuation: str


def make(cloze: Cloze, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Write the task of a shard of documents to the folder ``tasks``, as lm-evaluation-harness reads it.

    The folder holds the questions (JSONL) and the task (YAML). Metrics count documents; ``questions`` counts those.
    """
    passages: list[_Passage] = []
    dropped = {"too_short": 0, "too_few_others": 0}
    count = 0
    for document in documents.read(inputs[0], ["id", "url", "language", "text"]):
        count += 1
        generator = random.Random(f"{cloze.seed} {document['id']}")
        found = [
            _Passage(document["id"], document["url"], document["language"], *halves)
            for halves in _cuts(document["text"], cloze, generator)
        ]
        dropped["too_short"] += not found
        passages += found
    questions = [question for passage in passages if (question := _question(passage, passages, cloze))]
    asked = len({question["id"] for question in questions})
    dropped["too_few_others"] = count - dropped["too_short"] - asked
    folder = outputs["tasks"]
    folder.mkdir()
    lines = [json.dumps(question, ensure_ascii=False, sort_keys=True) + "\n" for question in questions]
    (folder / f"{NAME}.jsonl").write_text("".join(lines), "utf-8")
    (folder / f"{NAME}.yaml").write_text(yaml.safe_dump(_task(), sort_keys=False), "utf-8")
    return {"in": count, "out": asked, "dropped": dropped, "questions": len(questions)}


def _cuts(text: str, cloze: Cloze, generator: random.Random) -> list[tuple[str, str]]:
    """Contexts and continuations from places of ``text`` drawn without overlap; none where it is too short."""
    length = cloze.context + cloze.continuation + 2 * _REACH
    places = min(len(text) // length, cloze.questions_per_document)
    cuts = []
    for start in sorted(generator.sample(range(len(text) // length), places)):
        middle = _boundary(text, start * length + cloze.context)
        end = _boundary(text, middle + cloze.continuation)
        context, continuation = text[start * length : middle], text[middle:end]
        if context.strip() and continuation.strip():
            cuts.append((context, continuation))
    return cuts


def _boundary(text: str, position: int) -> int:
    space = re.compile(r"\s").search(text, position, position + _REACH)
    # Before the white space: a word's token begins with the space in front of it, so that no token is cut.
    return space.start() if space and not text[position - 1].isspace() else position


def _question(passage: _Passage, passages: Sequence[_Passage], cloze: Cloze) -> dict[str, object] | None:
    others = sorted(
        {
            other.continuation
            for other in passages
            if other.language == passage.language and other.document != passage.document
        }
        - {passage.continuation}
    )
    if len(others) < cloze.choices - 1:
        return None
    generator = random.Random(f"{cloze.seed} {passage.document} {passage.context}")
    choices = generator.sample(others, cloze.choices - 1)
    answer = generator.randrange(cloze.choices)
    choices.insert(answer, passage.continuation)
    return {
        "id": passage.document,
        "url": passage.url,
        "language": passage.language,
        "context": passage.context,
        "choices": choices,
        "answer": answer,
    }


def _task() -> dict[str, object]:
    """The task's YAML; ``acc_bytes`` divides a continuation's log-likelihood by its length in bytes."""
    metrics = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_bytes")]
    return {
        "task": NAME,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"data/evaluate/tasks/{NAME}.jsonl"}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "context",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "target_delimiter": "",
        "metric_list": metrics,
        "metadata": {"version": 1.0},
    }
