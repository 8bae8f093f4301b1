"""What became of a page: where it was captured, what every stage did with its document, and why it was dropped."""

import bisect
import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.core import arrow, shards, takedown
from stages.core.errors import HeadwaterError
from stages.core.trace.lineage import Fact, Lineage, Stage

_EXCERPT = 300  # characters of a text that are told
_NEAREST = 3
_COPY = ["id", "url", "duplicate_of", "similarity"]


def find(lineage: Lineage, column: str, value: str) -> list[str]:
    """Ids of the documents whose ``url``, ``id`` or ``host`` is ``value``, in order of capture.

    Raises:
        HeadwaterError: there is none; names the list of takedowns if that is why, else the nearest.
    """
    if column == "host":
        value = takedown.host(f"//{value}") or value
    first = lineage.documents[0][0] if lineage.documents else None
    found: list[str] = []
    known: set[str] = set()
    for path in [path for stage, folder in lineage.documents if stage == first for path in shards.files(folder)]:
        table = arrow.read(path, ["id", "url"])
        names = table.column("id" if column == "id" else "url").to_pylist()
        if column == "host":
            names = [takedown.host(name) for name in names]
        known |= set(names)
        found += [one for name, one in zip(names, table.column("id").to_pylist(), strict=True) if name == value]
    if not found:
        near = ", ".join(_nearest(value, sorted(known)))
        said = _taken_down(lineage, column, value) or f"; the nearest: {near}" * bool(near)
        raise HeadwaterError(f"no page with the {column} {value}{said}")
    return list(dict.fromkeys(found))


def _taken_down(lineage: Lineage, column: str, value: str) -> str:
    url, identity = {"url": (value, ""), "host": (f"//{value}", ""), "id": ("", value)}[column]
    lists = {path for stage in lineage.stages for path in stage.inputs if Path(path).name == "takedown.txt"}
    naming = [path for path in sorted(lists) if takedown.read(Path(path)).names(url, identity)]
    return f": {naming[0]} names it" if naming else ""


def stories(lineage: Lineage, ids: Sequence[str]) -> Iterator[tuple[str, Iterator[Fact]]]:
    """What became of documents, stage by stage: each id with its facts. Shards are looked through once for them all."""
    found: dict[str, list[_Found]] = {identity: [] for identity in ids}
    for stage, folder in lineage.documents:
        for path, row in rows(folder, ids):
            found[row["id"]].append(_Found(stage, folder, path, row))
    originals = {one.row["duplicate_of"] for places in found.values() for one in places if one.row.get("duplicate_of")}
    first = [folder for _, folder in lineage.documents[:1]]
    urls = {row["id"]: row["url"] for folder in first for _, row in rows(folder, list(originals), ["id", "url"])}
    for identity, places in found.items():
        yield identity, _story(lineage, places, urls)


class _Found(NamedTuple):
    """A document where a stage left it."""

    stage: Stage
    folder: Path
    path: Path
    row: dict[str, Any]


def _story(lineage: Lineage, places: Sequence[_Found], urls: Mapping[str, str]) -> Iterator[Fact]:
    for number, (stage, folder, path, row) in enumerate(places):
        if not number:
            yield from _capture(lineage, stage, row)
        yield Fact("document", _told(lineage, stage, folder, row, urls))
        yield from lineage.disagreements(path)


def copies(lineage: Lineage, identity: str) -> Iterator[Fact]:
    """The documents that were dropped for one, and the one that was kept; so none stands in its place unseen."""
    found: dict[str, dict[str, Any]] = {}
    for _, folder in lineage.documents:
        if any("duplicate_of" in pq.read_schema(path).names for path in shards.files(folder)[:1]):
            table = pa.concat_tables([arrow.read(path, _COPY) for path in shards.files(folder)])
            kept = {row["id"]: row["duplicate_of"] for row in table.to_pylist()}.get(identity, identity)
            group = pc.or_(pc.equal(table.column("duplicate_of"), kept), pc.equal(table.column("id"), kept))
            found |= {row["id"]: row for row in table.filter(group).to_pylist()} | {kept: {"id": kept}}
    for one in sorted(found):
        for _, row in (row for _, folder in lineage.documents[:1] for row in rows(folder, [one], ["id", "url"])):
            yield Fact("copy", {**found[one], **row})


def rows(
    folder: Path, ids: Sequence[str], columns: Sequence[str] | None = None
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The documents of a folder with one of those ids, each with its shard; all that is read else is ids."""
    wanted = arrow.column(sorted(set(ids)), pa.string())
    for path in shards.files(folder):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                here = pc.is_in(file.read_row_group(group, columns=["id"]).column("id"), value_set=wanted)
                if pc.any(here).as_py():
                    found = file.read_row_group(group, columns=list(columns) if columns else None).filter(here)
                    yield from ((path, row) for row in found.to_pylist())


def _capture(lineage: Lineage, stage: Stage, row: dict[str, Any]) -> Iterator[Fact]:
    """Where the page lies in the crawl; its bytes are read again and compared with the document's id."""
    about = {name: row[name] for name in ("id", "url", "date")} | {"warc": row["source"], "offset": row["offset"]}
    for folder in map(Path, stage.inputs):
        path = folder / Path(row["source"]).name
        if path.is_file():
            # By name: core stands below the room that can read archives, and asks it only for this.
            recaptured = importlib.import_module("stages.web.archived").recaptured
            read = recaptured(path, row["offset"], row["id"], stage.params["max_bytes"])
            if read is None:
                about["problem"] = "the bytes that lie there now make another document"
            yield Fact("capture", about | (read or {}))
            yield from lineage.disagreements(path)
            return
    yield Fact("capture", about | {"problem": f"no {row['source']} to read it from again"})


def _told(lineage: Lineage, stage: Stage, folder: Path, row: dict[str, Any], urls: Mapping[str, str]) -> dict[str, Any]:
    """What a stage said of a document; ``urls`` are those of documents that others were dropped for."""
    told: dict[str, Any] = {"stage": stage.name, "in": folder.as_posix()}
    if "reason" in row:
        told |= {"dropped_by": row["stage"], "reason": row["reason"]}
    if row.get("duplicate_of"):
        told["duplicate_of_url"] = urls.get(row["duplicate_of"], "gone")
    before = _columns_before(lineage, stage)
    told |= {name: value for name, value in row.items() if name not in {*before, *told, "stage", "text"}}
    text = row["text"]
    return told | {
        "text_hash": takedown.text_hash(text),
        "characters": len(text),
        "text": text[:_EXCERPT] + "…" * (len(text) > _EXCERPT),
    }


def _columns_before(lineage: Lineage, stage: Stage) -> set[str]:
    """Columns that stages before added, which they tell of themselves; and those of the capture."""
    names = {"id", "url", "date", "source", "offset"}
    for other, folder in lineage.documents:
        if other == stage:
            return names
        names |= set(pq.read_schema(shards.files(folder)[0]).names)
    return names


def _nearest(value: str, known: Sequence[str]) -> list[str]:
    """Those that begin most like ``value``: its neighbours in order."""
    at = bisect.bisect(known, value)
    near = known[max(0, at - _NEAREST) : at + _NEAREST]
    return sorted(near, key=lambda one: -_common(one, value))[:_NEAREST]


def _common(one: str, other: str) -> int:
    """How many characters agree from the first on."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))
