"""How documents are spread over languages, hosts, dates and lengths: as extracted, and as trained on."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq
from markupsafe import Markup

from stages.core import shards
from stages.core.takedown import host
from stages.release import charts

_COLUMNS = ("url", "date", "published", "language", "text")
_MONTH, _YEAR = 7, 4  # characters of an ISO date
_UNKNOWN = "unknown"


class Size(NamedTuple):
    """Of some documents."""

    documents: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Group:
    """Documents of one kind, before and after the stages that drop some."""

    name: str
    extracted: Size
    trained: Size


@dataclass(frozen=True)
class Spread:
    """All documents, by kind."""

    languages: list[Group]
    """The one with most bytes first; so with hosts."""
    hosts: list[Group]
    captured: Markup | None
    """Documents by the month of their capture, as bars; None where there is no document."""
    published: Markup | None
    """The same by the year that the page states."""
    lengths: Markup | None
    """Histogram of the documents' lengths."""


def measure(extracted: Path, training: Path, rows: int) -> Spread:
    """The spread of extracted documents and of those trained on, in charts of ``rows`` rows at most."""
    sides = [_counted(folder) for folder in (extracted, training)]
    groups = {kind: _groups(*(side[kind] for side in sides)) for kind in sides[0]}
    return Spread(
        languages=_by_bytes(groups["language"]),
        hosts=_by_bytes(groups["host"]),
        captured=_dates("Documents by month of capture", groups["captured"], rows),
        published=_dates("Documents by the year that the page states", groups["published"], rows),
        lengths=_lengths(groups["length"]),
    )


def _counted(folder: Path) -> dict[str, dict[str, Size]]:
    """Kind to name to size."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in _KINDS}
    sizes: dict[str, Counter[str]] = {kind: Counter() for kind in _KINDS}
    for path in shards.files(folder, "*.parquet"):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(4096, columns=list(_COLUMNS)):
                sized = batch.append_column("bytes", pc.binary_length(batch.column("text"))).drop_columns(["text"])
                for row in sized.to_pylist():
                    for kind, named in _KINDS.items():
                        name = named(row)
                        counts[kind][name] += 1
                        sizes[kind][name] += row["bytes"]
    return {kind: {name: Size(counts[kind][name], sizes[kind][name]) for name in counts[kind]} for kind in _KINDS}


def _doubling(row: Mapping[str, Any]) -> str:
    return str(int(math.log2(row["bytes"])) if row["bytes"] else 0)


_KINDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "language": lambda row: str(row["language"]),
    "host": lambda row: host(row["url"]) or _UNKNOWN,
    "captured": lambda row: row["date"][:_MONTH] or _UNKNOWN,
    "published": lambda row: row["published"][:_YEAR] or _UNKNOWN,
    "length": _doubling,
}


def _groups(before: Mapping[str, Size], after: Mapping[str, Size]) -> list[Group]:
    names = sorted(before.keys() | after.keys())
    return [Group(name, before.get(name, Size()), after.get(name, Size())) for name in names]


def _by_bytes(groups: Iterable[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: (-group.extracted.bytes, group.name))


def _dates(title: str, groups: list[Group], rows: int) -> Markup | None:
    """The last ``rows`` dates, the earliest first; what has none at the end."""
    if not groups:
        return None
    known = [group for group in groups if group.name != _UNKNOWN]
    shown = [*known[-rows:], *(group for group in groups if group.name == _UNKNOWN)]
    earlier = sum(group.extracted.documents for group in known[:-rows])
    if earlier:
        title = f"{title}; {earlier:,} earlier ones are left out"
    return charts.bars(title, [_bar(group) for group in shown], label_width=90)


def _bar(group: Group) -> charts.Bar:
    trained, extracted = group.trained.documents, max(group.extracted.documents, group.trained.documents)
    parts = [
        (float(trained), "s1", f"{group.name}: {trained:,} trained on"),
        (float(extracted - trained), "muted", f"{group.name}: {extracted - trained:,} dropped"),
    ]
    return charts.Bar(group.name, parts, f"{extracted:,}")


def _lengths(groups: list[Group]) -> Markup | None:
    if not groups:
        return None
    by_power = {int(group.name): group for group in groups}
    powers = range(min(by_power), max(by_power) + 1)
    counts = [
        [getattr(by_power[power], side).documents if power in by_power else 0 for power in powers]
        for side in ("extracted", "trained")
    ]
    histogram = charts.Histogram("Documents by length in bytes", [float(power) for power in (*powers, powers[-1] + 1)])
    return charts.histogram(histogram, counts, ("extracted", "trained on"), label=lambda power: charts.binary(power))
