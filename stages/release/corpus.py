"""What the report shows of single documents: examples of what was dropped, groups of duplicates, a sample."""

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
from stages.release import side_by_side

_URL = 200  # characters of an address that are shown
_HELD = 4096  # candidates for examples of one reason in memory

Example = dict[str, str]
"""``url``, ``language`` and the beginning of the ``text`` of a dropped document."""


@dataclass(frozen=True)
class Copy:
    """A document that was dropped for another."""

    url: str
    similarity: float
    """0–1."""
    beside: side_by_side.Comparison | None
    """With what was kept; None where the text is the same, or was not compared."""


@dataclass(frozen=True)
class Duplicates:
    """A document that was kept and the near or exact copies of it that were dropped."""

    url: str
    copies: list[Copy]
    """Some, the least alike first."""
    count: int
    """Copies in all."""


@dataclass(frozen=True)
class Shown:
    """How much of the duplicates is shown."""

    groups: int
    """The largest, and as many of those whose copies are least alike."""
    copies: int
    """Of a group."""
    rows: int
    """Of two texts beside each other."""
    characters: int
    """Of a line."""


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


def duplicates(folders: Iterable[Path], kept: Path, shown: Shown) -> dict[str, list[Duplicates]]:
    """Groups of duplicates among the dropped documents: the ``largest``, and the ``least_alike``.

    Args:
        folders: Shards of dropped documents; those of the stage that finds duplicates have ``duplicate_of`` and
            ``similarity``.
        kept: Shards in which the kept documents are found, as they were compared.
        shown: How much of them.
    """
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    searched = [folder for folder in folders if _has(folder, "duplicate_of")]
    for row in (row for folder in searched for row in _rows(folder, ("id", "duplicate_of", "similarity"))):
        if row["duplicate_of"]:
            found[row["duplicate_of"]].append((row["similarity"] or 0.0, row["id"]))
    groups = {
        "largest": sorted(found, key=lambda one: (-len(found[one]), one))[: shown.groups],
        "least_alike": sorted((one for one in found if min(found[one])[0] < 1), key=lambda one: (min(found[one]), one)),
    }
    groups["least_alike"] = groups["least_alike"][: shown.groups]
    wanted = {one for chosen in groups.values() for one in chosen}
    copies = {one: sorted(found[one])[: shown.copies] for one in wanted}
    texts = _texts([kept], wanted) | _texts(searched, {copy for chosen in copies.values() for _, copy in chosen})
    return {
        kind: [_group(one, copies[one], len(found[one]), texts, shown) for one in chosen]
        for kind, chosen in groups.items()
    }


def _group(
    kept: str, copies: list[tuple[float, str]], count: int, texts: Mapping[str, tuple[str, str]], shown: Shown
) -> Duplicates:
    url, text = texts.get(kept, (kept, ""))
    listed = []
    for similarity, copy in copies:
        other, said = texts[copy]
        beside = None
        if text and said != text:
            beside = side_by_side.compare(text, said, shown.rows, shown.characters)
        listed.append(Copy(shorten(other, _URL), similarity, beside))
    return Duplicates(shorten(url, _URL), listed, count)


def addresses(folder: Path, ids: set[str]) -> dict[str, str]:
    """URLs of some documents by id."""
    return {one: shorten(url, _URL) for one, (url, _) in _texts([folder], ids).items()}


def _has(folder: Path, column: str) -> bool:
    return any(column in pq.read_schema(path).names for path in shards.files(folder, "*.parquet")[:1])


def _texts(folders: Iterable[Path], ids: set[str]) -> dict[str, tuple[str, str]]:
    """URL and text of some documents by id; only the text of those is read."""
    if not ids:
        return {}
    wanted = pa.array(sorted(ids), pa.string())
    found = {}
    for path in (path for folder in folders for path in shards.files(folder, "*.parquet")):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                here = pc.is_in(file.read_row_group(group, columns=["id"]).column("id"), value_set=wanted)
                if pc.any(here).as_py():
                    rows = file.read_row_group(group, columns=["id", "url", "text"]).filter(here).to_pylist()
                    found.update({row["id"]: (row["url"], row["text"]) for row in rows})
    return found


def draw(folder: Path, count: int) -> list[Mapping[str, Any]]:
    """The ``count`` documents with the smallest ids, with ``id``, ``url``, ``language`` and ``text``."""
    ids = set(heapq.nsmallest(count, (row["id"] for row in _rows(folder, ("id",)))))
    chosen = (row for row in _rows(folder, ("id", "url", "language", "text")) if row["id"] in ids)
    return sorted(chosen, key=lambda row: row["id"])


def draw_by_language(folder: Path, languages: int, each: int = 8) -> list[Mapping[str, Any]]:
    """Of the ``languages`` with most documents, those ``each`` documents that have the smallest ids."""
    drawn: dict[str, list[str]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for row in _rows(folder, ("id", "language")):
        counts[row["language"]] += 1
        drawn[row["language"]].append(row["id"])
        if len(drawn[row["language"]]) > _HELD:
            drawn[row["language"]] = heapq.nsmallest(each, drawn[row["language"]])
    most = sorted(counts, key=lambda language: (-counts[language], language))[:languages]
    ids = {one: language for language in most for one in heapq.nsmallest(each, drawn[language])}
    texts = _texts([folder], set(ids))
    return [{"id": one, "url": texts[one][0], "language": ids[one], "text": texts[one][1]} for one in sorted(texts)]


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
