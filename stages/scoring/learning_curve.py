"""Learning curves: what a model could do at earlier steps of its training, on a part of what the last one is asked.

All points of a curve are of the same documents and questions, so they differ by what was learned and not by luck.
"""

import csv
import heapq
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import PositiveInt

from stages.core import documents
from stages.core.params import params
from stages.core.shards import Metrics
from stages.scoring import cloze, comparison, one_model
from stages.scoring.one_model import Asked, Known, build
from stages.scoring.questions import Measure
from stages.scoring.sample import rank

COLUMNS = ("step", "tokens", "bits_per_byte", "bits_per_byte_stderr", "cloze", "cloze_stderr")
"""Of the table: bits per byte of held-out documents, and the share of right answers in the cloze task, 0–1."""

_WANTED = ((comparison.HELD_OUT, "bits_per_byte"), (cloze.NAME, "acc"))


@params
class Curve:
    """What the snapshots of pretraining are measured on: a part, as they are many."""

    seed: int
    """Of the choice."""
    documents: PositiveInt
    """Of those that the models are evaluated on."""
    questions: PositiveInt
    """Of the cloze task's."""


def part(curve: Curve, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Write the chosen ``documents`` of a shard and the chosen questions of a cloze task: ``inputs`` are these two."""
    shard, made = inputs
    read = list(documents.read(shard))
    chosen = heapq.nsmallest(curve.documents, (rank(curve.seed, row["id"]) for row in read))
    with documents.Writer(outputs["documents"]) as writer:
        for row in read:
            if rank(curve.seed, row["id"]) in chosen:
                writer.write(row)
    folder = outputs["tasks"]
    shutil.copytree(made, folder)
    with (folder / f"{cloze.NAME}.jsonl").open(encoding="utf-8") as file:
        lines = list(file)  # as str.splitlines does not: a text may hold U+2028
    asked = heapq.nsmallest(curve.questions, lines, key=lambda line: rank(curve.seed, json.loads(line)["context"]))
    (folder / f"{cloze.NAME}.jsonl").write_text("".join(line for line in lines if line in asked), "utf-8")
    return {"in": len(read), "out": len(chosen), "dropped": {"not_sampled": len(read) - len(chosen)}}


def measure(curve: Curve, snapshots: Sequence[Path], asked: Asked) -> dict[int, Known]:
    """Step to what is known of the snapshot there.

    Args:
        curve: How much each is asked.
        snapshots: Folders of models, each named ``step-`` and the step after which it was taken.
        asked: What the last model is asked; of the tasks, snapshots are asked the one made here alone.
    """
    inputs = [asked.documents, asked.made]
    chosen = build("curve", part, curve, inputs, documents="documents.parquet", tasks="tasks").outputs
    fewer = Asked(replace(asked.tasks, names=()), chosen["documents"], made=chosen["tasks"], own=chosen["tasks"])
    return {
        int(folder.name.removeprefix("step-")): one_model.measure(folder.name, folder, fewer) for folder in snapshots
    }


def write(path: Path, log: Path, snapshots: Mapping[int, Known], last: Known | None) -> None:
    """Write the table of a run, a row for each snapshot and one for the model that the run ended in.

    Args:
        path: CSV file.
        log: Of the run: its tokens by step.
        snapshots: Step to what is known of the model there.
        last: What is known of the model at the end, which may be more; the part that they share counts.
    """
    tokens = _tokens(log)
    points = dict(snapshots) if last is None else {**snapshots, max(tokens): last}
    asked = {_key(one): set(one.questions) for known in snapshots.values() for one in _wanted(known)}
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for taken, known in sorted(points.items()):
            found = {_key(one): _only(one, asked.get(_key(one), set(one.questions))) for one in _wanted(known)}
            figures = [found.get(key) for key in _WANTED]
            table.writerow([taken, tokens[taken], *(cell for one in figures for cell in _cells(one))])


def _key(one: Measure) -> tuple[str, str]:
    return one.task, one.metric


def _wanted(known: Known) -> Iterator[Measure]:
    return (one for one in comparison.measures(known.scores, known.questions) if _key(one) in _WANTED)


def _only(one: Measure, names: set[str]) -> Measure:
    places = [place for place, name in enumerate(one.questions) if name in names]
    groups = [one.groups[place] for place in places] if one.groups else ()
    asked = [one.questions[place] for place in places]
    return replace(one, questions=asked, statistics=one.statistics[places], groups=groups)


def _cells(one: Measure | None) -> tuple[float | None, float | None]:
    return (None, None) if one is None else (one.value(), one.error())


def _tokens(log: Path) -> dict[int, int]:
    """Step to the tokens seen by then."""
    with log.open(encoding="utf-8", newline="") as file:
        return {int(row["step"]): int(row["tokens"]) for row in csv.DictReader(file)}
