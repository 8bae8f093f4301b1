"""The steps over shards that find passages which more than a few documents have: what to cut out of which document.

A document that is preferred keeps a passage, later ones lose it; the order is that of the rule ``keep``, so it depends
neither on shards nor on workers.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.core import arrow, documents
from stages.core.shards import Metrics
from stages.web.duplicates import buckets
from stages.web.duplicates.passages import keys_of_paragraphs, keys_of_runs
from stages.web.duplicates.shingles import Hashes, WordHashes
from stages.web.duplicates.signatures import ENTRY, entries

_KINDS: dict[str, Callable[[str, int, WordHashes], Hashes]] = {"paragraphs": keys_of_paragraphs, "runs": keys_of_runs}


def collect(settings: list[Any], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Entries of the passages of one shard.

    Args:
        settings: ``paragraphs`` or ``runs``, and their length in characters or words.
        inputs: The shard, and what is dropped of it.
        outputs: ``entries``, see :data:`stages.web.duplicates.signatures.ENTRY`.
    """
    kind, length = settings
    hashes = WordHashes()
    dropped = set(arrow.read(inputs[1], ["row"])["row"].to_pylist())
    keys: list[Hashes] = []
    rows: list[int] = []
    for row, document in enumerate(documents.read(inputs[0], ["text"])):
        if row not in dropped:
            keys.append(_KINDS[kind](document["text"], length, hashes))
            rows.append(row)
    numbers = np.repeat(np.array(rows, np.int64), [len(own) for own in keys])
    entries(np.concatenate([np.zeros(0, np.uint64), *keys]), numbers).tofile(outputs["entries"])
    return {"in": len(rows)}


def choose(settings: list[Any], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Which documents lose which passages.

    Args:
        settings: The rule ``keep``, the documents that keep a passage, names of the shards.
        inputs: Of all shards the entries, then the tables, then the sources.
        outputs: For each shard, by name, its entries that are cut (an array of ENTRY without a header).
    """
    keep, most, names = settings
    count = len(names)
    shards = buckets.Shards(inputs[count : 2 * count], inputs[2 * count :])
    firsts = shards.firsts()
    for name in names:
        outputs[name].touch()
    total = 0
    for found in buckets.merged(inputs[:count], shards, keep, least=most + 1):
        lengths = np.diff(found.starts)
        place = np.arange(len(found.members)) - np.repeat(found.starts[:-1], lengths)
        late = place >= most
        keys, numbers = np.repeat(found.keys, lengths)[late], found.members[late]
        total += len(keys)
        order = np.argsort(numbers, kind="stable")
        ends = np.searchsorted(numbers[order], firsts)
        for shard in np.flatnonzero(np.diff(ends)).tolist():
            own = order[ends[shard] : ends[shard + 1]]
            table = np.empty(len(own), ENTRY)
            table["key"], table["row"] = keys[own], numbers[own] - firsts[shard]
            with outputs[names[shard]].open("ab") as file:
                table.tofile(file)
    return {"in": total}


def cuts(paths: Sequence[Path]) -> dict[int, set[int]]:
    """Row of a document to the passages that it loses, from files that :func:`choose` wrote for its shard."""
    table: npt.NDArray[Any] = np.concatenate([np.zeros(0, ENTRY), *(np.fromfile(path, ENTRY) for path in paths)])
    found: dict[int, set[int]] = {}
    for key, row in table.tolist():
        found.setdefault(row, set()).add(key)
    return found
