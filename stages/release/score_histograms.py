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

    Args:
        kept: Shards of the documents that passed.
        dropped: Folders of dropped documents; the one beside ``kept`` holds those that did not.
        bins: Of a histogram.
    """
    sides = [shards.files(kept, "*.parquet")]
    sides += [shards.files(folder, "*.parquet") for folder in dropped if folder.parent == kept.parent]
    limits = {name: found for name, found in _limits(sides[0][0]).items() if found} if sides[0] else {}
    found = []
    for name, held in limits.items():
        passed, failed = (_values(paths, name) for paths in (sides[0], [path for side in sides[1:] for path in side]))
        if len(passed) + len(failed):
            found.append(_scored(name, held, passed, failed, bins))
    return sorted(found, key=lambda one: (-one.beyond, one.name))


def _limits(path: Path) -> dict[str, list[tuple[str, float]]]:
    schema = pq.read_schema(path)
    return {
        field.name: [(side.decode(), float(field.metadata[side])) for side in _SIDES if side in field.metadata]
        for field in schema
        if field.metadata and pa.types.is_floating(field.type)
    }


def _values(paths: Iterable[Path], name: str) -> Values:
    columns = [pq.read_table(path, columns=[name]).column(name).drop_null() for path in paths]
    arrays = [column.to_numpy() for column in columns if len(column)]
    return np.concatenate(arrays) if arrays else np.empty(0)


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
