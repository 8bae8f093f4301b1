"""The steps over shards that find passages which more than a few documents have: what to cut out of which document.

A document that is preferred keeps a passage, later ones lose it; the order is that of the rule ``keep``, so it depends
neither on shards nor on workers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.core import arrays
from stages.core.shards import Metrics
from stages.web.duplicates import buckets
from stages.web.duplicates.flat_files import created, scratch
from stages.web.duplicates.signatures import DECISION, ENTRY


def choose(settings: list[Any], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Which documents lose which passages, of those that stay.

    Args:
        settings: The rule ``keep``, the documents that keep a passage, names of the shards.
        inputs: Of all shards the passages, then the tables, then the sources, then what is dropped of each.
        outputs: For each shard, by name, its entries that are cut (an array of ENTRY without a header).
    """
    keep, most, names = settings
    count = len(names)
    shards = buckets.Shards(inputs[count : 2 * count], inputs[2 * count : 3 * count])
    firsts = shards.firsts()
    for name in names:
        outputs[name].touch()
    total = 0
    with scratch(outputs) as folder:
        dropped = created(folder / "dropped", np.bool_, int(firsts[-1]))
        for first, path in zip(firsts.tolist(), inputs[3 * count :], strict=False):
            dropped[first + np.fromfile(path, DECISION)["row"]] = True
        for found in buckets.merged(inputs[:count], shards, keep, least=most + 1, without=dropped):
            total += _cut(found, most, firsts, [outputs[name] for name in names])
    return {"in": total}


def _cut(found: buckets.Buckets, most: int, firsts: buckets.Numbers, outputs: Sequence[Path]) -> int:
    """Add what is cut of some buckets to the files of the shards; how much that is."""
    lengths = np.diff(found.starts)
    place = np.arange(len(found.members)) - np.repeat(found.starts[:-1], lengths)
    late = place >= most
    keys, numbers = np.repeat(found.keys, lengths)[late], found.members[late]
    order = np.argsort(numbers, kind="stable")
    ends = np.searchsorted(numbers[order], firsts)
    for shard in np.flatnonzero(np.diff(ends)).tolist():
        own = order[ends[shard] : ends[shard + 1]]
        table = np.empty(len(own), ENTRY)
        table["key"], table["row"] = keys[own], numbers[own] - firsts[shard]
        with outputs[shard].open("ab") as file:
            arrays.write(file, table)
    return len(keys)


def cuts(paths: Sequence[Path]) -> dict[int, set[int]]:
    """Row of a document to the passages that it loses, from files that :func:`choose` wrote for its shard."""
    table: npt.NDArray[Any] = np.concatenate([np.zeros(0, ENTRY), *(np.fromfile(path, ENTRY) for path in paths)])
    found: dict[int, set[int]] = {}
    for key, row in table.tolist():
        found.setdefault(row, set()).add(key)
    return found
