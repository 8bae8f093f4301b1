"""Two models that were asked the same: better, worse, or not told apart, by a paired bootstrap over the questions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from stages.core.errors import HeadwaterError
from stages.core.shards import Metrics
from stages.scoring import questions
from stages.scoring.questions import Measure

HELD_OUT = "held_out"
"""What stands for the name of a task where held-out documents are the questions."""

# Draws. Below this a bootstrap's intervals are far too narrow: of two documents it draws but three different samples.
_FEWEST = 10


@dataclass(frozen=True)
class Difference:
    """A figure of two models and what can be said of its change."""

    task: str
    metric: str
    questions: int
    """Asked of both."""
    before: float
    after: float
    low: float | None
    """Where ``after - before`` lies with 95 % confidence; None for too few questions."""
    high: float | None
    verdict: str
    """Of the change: ``better``, ``worse`` or ``not told apart``."""


def compare(before: Measure, after: Measure) -> Difference | None:
    """What became of a figure, over the questions that both were asked; None if there are none.

    The same questions, or groups of them, are drawn for both models (Koehn 2004, "Statistical Significance Tests for
    Machine Translation Evaluation"), so what makes a question hard for both does not count; the interval is that of the
    percentiles.
    """
    places = {question: place for place, question in enumerate(after.questions)}
    shared = [(place, places[name]) for place, name in enumerate(before.questions) if name in places]
    if not shared:
        return None
    groups = [after.groups[second] for _, second in shared] if after.groups else ()
    rows = before.statistics[[first for first, _ in shared]], after.statistics[[second for _, second in shared]]
    old, new = (one.figure(part.sum(axis=0)[None]).item() for one, part in zip((before, after), rows, strict=True))
    low = high = None
    verdict = "not told apart"
    drawn = questions.grouped(np.hstack(rows), groups)
    if len(drawn) >= _FEWEST:
        sums = questions.draw(drawn)
        width = rows[0].shape[1]
        change = after.figure(sums[:, width:]) - before.figure(sums[:, :width])
        low, high = (float(bound) for bound in np.percentile(change, (2.5, 97.5)))
        if low > 0 or high < 0:
            verdict = "better" if (low > 0) == after.higher_is_better else "worse"
    return Difference(before.task, before.metric, len(shared), old, new, low, high, verdict)


def measures(scores: Path, answers: Path) -> Iterator[Measure]:
    """The measures of a model: ``scores`` are bits by document, ``answers`` the questions of its tasks."""
    table = pq.read_table(scores, columns=["id", "bits", "bytes"])
    sums = np.stack([table["bits"].to_numpy(), table["bytes"].to_numpy()], axis=1).astype(np.float64)
    yield Measure(HELD_OUT, "bits_per_byte", "ratio", False, table["id"].to_pylist(), sums)
    yield from questions.read(answers)


def differences(before: Sequence[Path], after: Sequence[Path]) -> list[Difference]:
    """Every figure that two models share; each model is given as the two files of :func:`measures`.

    Raises:
        HeadwaterError: they were asked nothing in common.
    """
    old = {(one.task, one.metric, one.rule): one for one in measures(*before)}
    found = [
        difference
        for one in measures(*after)
        if (key := (one.task, one.metric, one.rule)) in old and (difference := compare(old[key], one))
    ]
    if not found:
        raise HeadwaterError(f"{before[0].parent} and {after[0].parent} have no document and no question in common")
    return found


def write(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Compare two models of a build: ``inputs`` are scores and answers of the one, then of the other.

    Writes ``differences`` (JSON): task to metric to what :class:`Difference` says.
    """
    found: dict[str, dict[str, Any]] = {}
    for one in differences(inputs[:2], inputs[2:]):
        figures = {key: value for key, value in vars(one).items() if key not in ("task", "metric")}
        found.setdefault(one.task, {})[one.metric] = figures
    outputs["differences"].write_text(json.dumps(found, sort_keys=True), "utf-8")
    return {"in": len(inputs) // 2, "out": len(inputs) // 2}
