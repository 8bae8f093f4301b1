"""What each question adds to a figure: sums that are drawn again and again for a standard error or a comparison.

Every figure here is a function of sums over questions (or documents): a mean of right answers over questions, bits over
bytes, matching n-grams over n-grams. So a bootstrap never asks a model again, and two models that were asked the same
questions are compared question by question.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
_SEED = 17
_BLOCK = 1 << 22  # counts in memory at a time, 32 MiB

_SCHEMA = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("higher_is_better", pa.bool_(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("statistics", pa.list_(pa.float64()), nullable=False),
        pa.field("group", pa.string()),  # null where each question is drawn by itself
    ]
)

# What sacrebleu counts for each text (n-grams that match, n-grams, lengths); figures of a corpus come from their sums.
_CORPUS: dict[str, Any] = {"bleu": BLEU(), "chrf": CHRF(), "chrfpp": CHRF(word_order=2), "ter": TER()}


@dataclass(frozen=True)
class Measure:
    """One figure of one task, question by question."""

    task: str
    metric: str
    rule: str
    """How the figure comes from the sums: ``ratio``, ``exp`` of a ratio, or a metric of sacrebleu."""
    higher_is_better: bool
    questions: Sequence[str]
    """Names of the questions, each once; the same in every build that asks the same."""
    statistics: Floats
    """What each question adds; shape (questions, sums)."""
    groups: Sequence[str] = ()
    """Of each question what was drawn as a whole, such as the document that it was made from; none: the question."""

    def figure(self, sums: Floats) -> Floats:
        """Figures from sums of shape (draws, sums)."""
        if self.rule in _CORPUS:
            compute = _CORPUS[self.rule]._compute_score_from_stats
            return np.array([compute(row.astype(np.int64).tolist()).score for row in sums])
        ratio: Floats = sums[:, 0] / sums[:, 1]
        return np.exp(ratio) if self.rule == "exp" else ratio

    def value(self) -> float:
        """The figure of all questions."""
        return float(self.figure(self.statistics.sum(axis=0)[None])[0])

    def error(self) -> float | None:
        """Standard error over questions: of a ratio by its formula, else by bootstrap; None for a single question.

        Questions of a group stand or fall together, and count as one draw (Miller 2024, arXiv 2411.00640).

        The formula is that of the ratio estimator (Cochran, Sampling Techniques, 3rd ed., section 2.11): questions are
        drawn, and those that weigh more count for more. Of a mean it is the deviation over the root of their number.
        """
        drawn = grouped(self.statistics, self.groups)
        count = len(drawn)
        if count < 2:
            return None
        if self.rule != "ratio":
            return float(self.figure(draw(drawn)).std(ddof=1))
        above, below = drawn.T
        residual = math.fsum((above - self.value() * below) ** 2)
        return math.sqrt(residual * count / (count - 1)) / math.fsum(below)


def grouped(statistics: Floats, groups: Sequence[str]) -> Floats:
    """Sums over the questions of each group, in the order of the groups' names; shape (groups, sums)."""
    if not groups:
        return statistics
    names, places = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((len(names), statistics.shape[1]))
    np.add.at(sums, places, statistics)
    return sums


def draw(statistics: Floats) -> Floats:
    """Sums of ``RESAMPLES`` bootstrap samples of the rows of ``statistics``; shape (RESAMPLES, sums).

    How often each distinct row is drawn follows a multinomial law, so a thousand right and wrong answers cost no more
    than two numbers; the result does not depend on the order of the rows.
    """
    rows, counts = np.unique(statistics, axis=0, return_counts=True)
    generator = np.random.default_rng(_SEED)
    step = max(1, _BLOCK // len(rows))
    sums = np.zeros((RESAMPLES, statistics.shape[1]))
    for start in range(0, RESAMPLES, step):
        part = sums[start : start + step]
        drawn = generator.multinomial(len(statistics), counts / len(statistics), len(part))
        # Row by row: the last digits of a matrix product depend on where its arrays happen to lie in memory.
        for times, row in zip(drawn.T, rows, strict=True):
            part += times[:, None] * row
    return sums


def measure(
    task: str, metric: str, aggregation: str, higher_is_better: bool, questions: Sequence[str], values: Sequence[Any]
) -> Measure | None:
    """A metric of lm-evaluation-harness from its values for each question; None for an aggregation not known here.

    Args:
        aggregation: Name of what lm-evaluation-harness makes one figure of the values with.
        values: Numbers, pairs of log-likelihood and length, or pairs of reference and answer.
    """
    if aggregation not in _FROM_VALUES:
        return None
    rule, statistics = _FROM_VALUES[aggregation]
    return Measure(task, metric, rule, higher_is_better, _distinct(questions), np.array(statistics(values), np.float64))


def _corpus(name: str) -> tuple[str, Callable[[Sequence[Any]], list[list[float]]]]:
    def statistics(values: Sequence[Any]) -> list[list[float]]:
        references, answers = [reference for reference, _ in values], [answer for _, answer in values]
        found: list[list[float]] = _CORPUS[name]._extract_corpus_statistics(answers, [references])
        return found

    return name, statistics


# Aggregations of lm-evaluation-harness (lm_eval/api/metrics.py).
_FROM_VALUES: dict[str, tuple[str, Callable[[Sequence[Any]], list[list[float]]]]] = {
    "mean": ("ratio", lambda values: [[float(value), 1.0] for value in values]),
    "perplexity": ("exp", lambda values: [[-value, 1.0] for value in values]),
    "weighted_perplexity": ("exp", lambda values: [[-likelihood, length] for likelihood, length in values]),
    "bits_per_byte": ("ratio", lambda values: [[-likelihood / math.log(2), length] for likelihood, length in values]),
    **{name: _corpus(name) for name in _CORPUS},
}


def _distinct(names: Sequence[str]) -> list[str]:
    """Names with a number behind those that are there already: a question may be asked twice."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return distinct


def write(path: Path, measures: Sequence[Measure]) -> None:
    """Write measures as Parquet, a row for each question."""
    rows = [
        {
            "task": one.task,
            "metric": one.metric,
            "rule": one.rule,
            "higher_is_better": one.higher_is_better,
            "question": question,
            "statistics": statistics,
            "group": group,
        }
        for one in measures
        for question, statistics, group in zip(
            one.questions, one.statistics.tolist(), one.groups or len(one.questions) * (None,), strict=True
        )
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), path, compression="zstd")


def read(path: Path) -> Iterator[Measure]:
    """The measures of a file, in its order."""
    together: dict[tuple[str, str, str, bool], list[tuple[str, list[float], str | None]]] = {}
    for row in pq.read_table(path, schema=_SCHEMA).to_pylist():
        key = (row["task"], row["metric"], row["rule"], row["higher_is_better"])
        together.setdefault(key, []).append((row["question"], row["statistics"], row["group"]))
    for key, answers in together.items():
        names, sums, groups = zip(*answers, strict=True)
        whole = [group for group in groups if group is not None]
        yield Measure(*key, list(names), np.array(sums, np.float64), whole)
