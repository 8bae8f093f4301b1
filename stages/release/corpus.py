"""What the report shows of the documents: languages, examples of what was dropped, groups of duplicates."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.core import shards
from stages.core.untrusted import shorten

_URL = 200  # characters of an address that are shown
_HELD = 4096  # candidates for examples of one reason in memory

Example = dict[str, str]
"""``url``, ``language`` and the beginning of the ``text`` of a dropped document."""


@dataclass(frozen=True)
class Language:
    """How much there is of a language, before and after the stages that drop documents."""

    code: str
    documents: int
    bytes: int
    training_documents: int
    training_bytes: int


@dataclass(frozen=True)
class Duplicates:
    """A document that was kept and the near or exact copies of it that were dropped."""

    url: str
    copies: list[tuple[str, float]]
    """URL and similarity (0–1) of some copies, the most similar first."""
    count: int
    """Copies in all."""


def languages(extracted: Path, training: Path) -> list[Language]:
    """Every language of the extracted documents, the one with most bytes first."""
    before, after = _sizes(extracted), _sizes(training)
    counted = [Language(code, *before.get(code, (0, 0)), *after.get(code, (0, 0))) for code in before.keys() | after]
    return sorted(counted, key=lambda language: (-language.bytes, language.code))


def examples(folders: Iterable[Path], per_reason: int, characters: int) -> dict[tuple[str, str], list[Example]]:
    """Stage and reason to some documents dropped for it: those with the smallest ids, which is a fair draw.

    Args:
        folders: Shards of dropped documents.
        per_reason: Examples of each reason.
        characters: Length of the text shown.
    """
    drawn: dict[tuple[str, str], list[tuple[str, Path]]] = defaultdict(list)
    for folder in folders:
        for row in _rows(folder, ("id", "stage", "reason")):
            key = (row["stage"], row["reason"])
            drawn[key].append((row["id"], folder))
            if len(drawn[key]) > _HELD:
                drawn[key] = heapq.nsmallest(per_reason, drawn[key])
    wanted = {key: heapq.nsmallest(per_reason, found) for key, found in sorted(drawn.items())}
    texts: dict[tuple[str, Path], Example] = {}
    for place in sorted({place for found in wanted.values() for _, place in found}):
        ids = {one for found in wanted.values() for one, where in found if where == place}
        for row in _rows(place, ("id", "url", "language", "text")):
            if row["id"] in ids:
                texts[row["id"], place] = {
                    "url": shorten(row["url"], _URL),
                    "language": row["language"],
                    "text": shorten(row["text"].strip(), characters),
                }
    return {key: [texts[one] for one in found] for key, found in wanted.items()}


def duplicates(folder: Path, documents: Path, groups: int, copies: int) -> list[Duplicates]:
    """The largest groups of duplicates among the dropped documents of ``folder``.

    Args:
        folder: Shards of dropped documents with ``duplicate_of`` and ``similarity``.
        documents: Shards in which the kept documents are found.
        groups: Groups shown.
        copies: Copies shown of each.
    """
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for row in _rows(folder, ("id", "url", "duplicate_of", "similarity")):
        if row["duplicate_of"]:
            found[row["duplicate_of"]].append((row["similarity"] or 0.0, row["url"]))
    largest = sorted(found, key=lambda kept: (-len(found[kept]), kept))[:groups]
    urls = {row["id"]: row["url"] for row in _rows(documents, ("id", "url")) if row["id"] in largest} if largest else {}
    return [
        Duplicates(
            url=shorten(urls.get(kept, kept), _URL),
            copies=[(shorten(url, _URL), score) for score, url in sorted(found[kept], key=_closest)[:copies]],
            count=len(found[kept]),
        )
        for kept in largest
    ]


def draw(folder: Path, count: int) -> list[Mapping[str, Any]]:
    """The ``count`` documents with the smallest ids, with ``id``, ``url``, ``language`` and ``text``."""
    ids = set(heapq.nsmallest(count, (row["id"] for row in _rows(folder, ("id",)))))
    chosen = (row for row in _rows(folder, ("id", "url", "language", "text")) if row["id"] in ids)
    return sorted(chosen, key=lambda row: row["id"])


def _closest(copy: tuple[float, str]) -> tuple[float, str]:
    return -copy[0], copy[1]


def _sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Language to documents and bytes."""
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for batch in _batches(folder, ("language", "text")):
        table = batch.append_column("bytes", pc.binary_length(batch.column("text"))).drop_columns(["text"])
        for row in _grouped(table):
            count[row["language"]] += row["bytes_count"]
            size[row["language"]] += row["bytes_sum"]
    return {language: (count[language], size[language]) for language in count}


def _grouped(batch: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (
        pa.Table.from_batches([batch])
        .group_by("language")
        .aggregate([("bytes", "count"), ("bytes", "sum")])
        .to_pylist()
    )
    return rows


def _rows(folder: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of all shards of a folder; a column that a shard lacks is None."""
    for batch in _batches(folder, columns):
        for row in batch.to_pylist():
            yield {column: row.get(column) for column in columns}


def _batches(folder: Path, columns: Sequence[str]) -> Iterator[Any]:
    for path in shards.files(folder, "*.parquet"):
        with pq.ParquetFile(path) as file:
            known = set(file.schema_arrow.names)
            yield from file.iter_batches(1024, columns=[column for column in columns if column in known])
