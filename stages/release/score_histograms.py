"""How the scores of documents are spread, with the limits that they were held to: what another limit would do is seen.

The limits come with the scores: the metadata of a score's column names them, ``at_least`` and ``at_most``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from stages.core import shards
from stages.release import charts
from stages.release.figures import number

_SIDES = (b"at_least", b"at_most")
_TAIL = 0.995  # of the documents are within the chart; the rest would leave it empty but for its left edge
_REACH = 20  # times the limit: it would lie on the left edge of a longer axis, such as that of words

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """One score."""

    name: str
    limits: list[tuple[str, float]]
    """``at_least`` or ``at_most``, and the limit."""
    beyond: int
    """Documents on the wrong side of a limit, for whichever reason they were dropped first."""
    documents: int
    """That have the score."""
    chart: Markup


def draw(kept: Path, dropped: Iterable[Path], bins: int) -> list[Scored]:
    """A histogram of every score that is held to a limit, those that most documents do not meet first.

    A score of which only dropped documents have a value, such as the similarity to what was kept instead, is drawn of
    those.

    Args:
        kept: Shards of the documents that passed.
        dropped: Folders of dropped documents; the one beside ``kept`` holds those that did not.
        bins: Of a histogram.
    """
    passed, found = shards.files(kept, "*.parquet"), []
    done: set[str] = set()
    for folder in sorted(dropped, key=lambda folder: folder.parent != kept.parent):
        failed = shards.files(folder, "*.parquet")
        beside = passed if folder.parent == kept.parent else []
        limits = _limits([*beside, *failed][0]) if beside or failed else {}
        for name in [name for name in limits if name not in done]:
            good, bad = (_values(paths, name, limits) for paths in (beside, failed))
            if len(good) + len(bad):
                found.append(_scored(name, limits[name], good, bad, bins))
        done |= set(limits)
    return sorted(found, key=lambda one: (-one.beyond, one.name))


def _limits(path: Path) -> dict[str, list[tuple[str, float]]]:
    """Names of scores, with their limits."""
    found = {
        field.name: [(side.decode(), float(field.metadata[side])) for side in _SIDES if side in field.metadata]
        for field in pq.read_schema(path)
        if field.metadata and pa.types.is_floating(field.type)
    }
    return {name: limits for name, limits in found.items() if limits}


def _values(paths: Iterable[Path], name: str, scores: Iterable[str]) -> Values:
    """The values of a score; of one that every document has, such as that of its language, those of documents that
    have also what fewest have: the rest was dropped before it was looked at."""
    arrays = [np.empty(0)]
    for path in paths:
        schema = pq.read_schema(path)
        others = [] if schema.field(name).nullable else [one for one in scores if schema.field(one).nullable]
        table = pq.read_table(path, columns=[name, *others])
        there = [column for column in map(table.column, others) if column.null_count < len(column)]
        judged = min(there, key=lambda column: len(column) - column.null_count, default=table.column(name))
        arrays.append(table.column(name).filter(judged.is_valid()).to_numpy())
    return np.concatenate(arrays)


def _scored(name: str, limits: list[tuple[str, float]], passed: Values, failed: Values, bins: int) -> Scored:
    both = np.concatenate([passed, failed])
    bounds = [limit for _, limit in limits]
    # A limit far beyond every value, such as a hundred thousand words, is not worth an empty chart.
    high = float(np.quantile(both, _TAIL, method="higher"))
    near = [limit for limit in bounds if limit <= 3 * max(high, 1e-9)]
    if near:
        high = max([*near, min(high, _REACH * max(near))])
    low = float(min([both.min(), *near]))
    if high <= low:
        high = low + 1
    edges = np.linspace(low, high + (high - low) / bins, bins + 1)
    counts = [np.histogram(np.clip(side, edges[0], edges[-1]), edges)[0].tolist() for side in (passed, failed)]
    told = ", ".join(f"{side.replace('_', ' ')} {number(limit)}" for side, limit in limits)
    histogram = charts.Histogram(f"{name}, {told}", edges.tolist(), near)
    beyond = sum(int((both < limit).sum() if side == "at_least" else (both > limit).sum()) for side, limit in limits)
    return Scored(name, limits, beyond, len(both), charts.histogram(histogram, counts, ("passed", "dropped")))
