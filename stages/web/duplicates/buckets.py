"""Merging the keys of all shards: which documents share a key, those to be preferred first, in bounded memory.

Keys are hashes, so a range of them is a share of all entries: one range after another is taken from every shard's
sorted file, as wide as the profile's memory allows. The buckets come out in the order of their keys, so the number of
ranges changes no byte.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.core import arrays
from stages.core.runtime import profile
from stages.core.shards import Metrics
from stages.web.duplicates.flat_files import length, mapped
from stages.web.duplicates.signatures import ENTRY, TABLE

Numbers = npt.NDArray[np.int64]
"""Documents, counted through all shards."""

# Bytes for each entry of a range while it is sorted; 150 were measured where every key is shared.
_ENTRY_BYTES = 200

_RULES: dict[str, Callable[[npt.NDArray[Any]], list[npt.NDArray[Any]]]] = {
    "longest": lambda rows: [-rows["words"].astype(np.int64), rows["date"]],
    "earliest": lambda rows: [rows["date"]],
    "first": lambda rows: [],
}
RULES = tuple(_RULES)
"""Names of the rules by which one of a group stays; any other name is that of a column of scores: the highest stays."""


def is_score(field: pa.Field) -> bool:
    """Whether a column of documents can say which of them stays."""
    return bool(pa.types.is_floating(field.type))


@dataclass(frozen=True)
class Shards:
    """The tables of all shards."""

    tables: Sequence[Path]
    sources: Sequence[Path]

    def firsts(self) -> Numbers:
        """Number of the first document of each shard, and that of all documents at the end."""
        counts = [length(path, TABLE) for path in self.tables]
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


@dataclass(frozen=True)
class Buckets:
    """Documents that share a key, bucket after bucket."""

    keys: npt.NDArray[np.uint64]
    """Key of each bucket, ascending."""
    starts: Numbers
    """Where each bucket begins in ``members``; its length at the end."""
    members: Numbers
    """Documents; within a bucket those to be preferred first."""


def merged(
    entries: Sequence[Path], shards: Shards, keep: str, least: int, without: npt.NDArray[np.bool_] | None = None
) -> Iterator[Buckets]:
    """Buckets of at least ``least`` documents, a range of keys at a time.

    Args:
        entries: A sorted file of entries for each shard, see :data:`stages.web.duplicates.signatures.ENTRY`.
        shards: The shards' tables.
        keep: The rule for the order within a bucket. Ties are broken by date, then by place (WARC name, offset), so
            that what a later archive brings again takes no one's place, and nothing depends on how documents are
            divided into shards.
        least: Documents in a bucket, at least 2.
        without: Of all documents, those that are left out.
    """
    firsts, ranks = shards.firsts(), _source_ranks(shards.sources)
    bounds = _bounds(entries, profile().memory_mb * 1_000_000)
    cuts = [_cuts(path, bounds) for path in entries]
    for number in range(len(bounds) + 1):
        # Each file is open for a moment only: there may be more of them than a process may have open.
        parts = [_read(path, *cut[number : number + 2]) for path, cut in zip(entries, cuts, strict=True)]
        keys = np.concatenate([np.zeros(0, np.uint64), *(part["key"] for part in parts)])
        members = np.concatenate(
            [np.zeros(0, np.int64), *(part["row"] + first for part, first in zip(parts, firsts, strict=False))]
        )
        if without is not None:
            there = ~without[members]
            keys, members = keys[there], members[there]
        order = np.argsort(keys, kind="stable")
        keys, members = keys[order], members[order]
        shared = _lengths(keys) >= least
        keys, members = keys[shared], members[shared]
        members = members[np.lexsort([_places(members, firsts, shards.tables, ranks, keep), keys])]
        begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.zeros(0, np.int64)
        yield Buckets(keys[begins], np.append(begins, len(keys)), members)


def _bounds(entries: Sequence[Path], memory: int) -> npt.NDArray[np.uint64]:
    """Keys that part the entries into ranges for which ``memory`` is enough."""
    ranges = 1 + sum(length(path, ENTRY) for path in entries) * _ENTRY_BYTES // memory
    if ranges == 1:
        return np.zeros(0, np.uint64)
    ends = [mapped(path, ENTRY)["key"][[0, -1]].tolist() for path in entries if length(path, ENTRY)]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return np.array([low + number * (high - low) // ranges for number in range(1, ranges)], np.uint64)


def _cuts(path: Path, bounds: npt.NDArray[np.uint64]) -> list[int]:
    """Where each range of keys begins in a file, and where the last ends."""
    within = np.searchsorted(mapped(path, ENTRY)["key"], bounds).tolist() if len(bounds) else []
    return [0, *within, length(path, ENTRY)]


def _read(path: Path, first: int, end: int) -> npt.NDArray[Any]:
    return np.fromfile(path, ENTRY, end - first, offset=first * ENTRY.itemsize)


def _lengths(keys: npt.NDArray[np.uint64]) -> Numbers:
    """For each of the sorted ``keys``, how often it occurs."""
    if not len(keys):
        return np.zeros(0, np.int64)
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    lengths = np.diff(np.append(begins, len(keys)))
    return np.repeat(lengths, lengths)


def _source_ranks(paths: Sequence[Path]) -> list[Numbers]:
    """For each shard, the place of its sources among the names of all."""
    names = [json.loads(path.read_text("utf-8")) for path in paths]
    places = {name: place for place, name in enumerate(sorted({name for own in names for name in own}))}
    return [np.array([places[name] for name in own], np.int64) for own in names]


def _places(members: Numbers, firsts: Numbers, tables: Sequence[Path], ranks: Sequence[Numbers], keep: str) -> Numbers:
    """For each of ``members``, its place among all of them in order of preference; a document has one place."""
    documents, which = np.unique(members, return_inverse=True)
    ends = np.searchsorted(documents, firsts)
    parts: list[list[npt.NDArray[Any]]] = []
    for shard, path in enumerate(tables):
        if ends[shard] < ends[shard + 1]:
            rows = mapped(path, TABLE)[documents[ends[shard] : ends[shard + 1]] - firsts[shard]]
            leading = _RULES[keep](rows) if keep in _RULES else [-rows["score"], rows["date"]]
            parts.append([*leading, ranks[shard][rows["source"]], rows["offset"], rows["id"]])
    ranking = [np.concatenate(column) for column in zip(*parts, strict=True)]
    places = np.empty_like(documents)
    if len(documents):
        places[np.lexsort(ranking[::-1])] = np.arange(len(documents))
    return places[which]


def bucket(keep: str, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Which documents share a key.

    Args:
        keep: The rule for the order within a bucket.
        inputs: Of all shards the entries, then the tables, then the sources.
        outputs: ``members`` and ``starts`` (both int64, without a header): as in :class:`Buckets`.
    """
    count = len(inputs) // 3
    shards = Shards(inputs[count : 2 * count], inputs[2 * count :])
    total = 0
    with outputs["members"].open("wb") as members, outputs["starts"].open("wb") as starts:
        for buckets in merged(inputs[:count], shards, keep, least=2):
            arrays.write(starts, buckets.starts[:-1] + total)
            arrays.write(members, buckets.members)
            total += len(buckets.members)
        arrays.write(starts, np.array([total], np.int64))
    return {"in": total}
