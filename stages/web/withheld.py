"""Documents taken down by their text: shards without those whose hash the list names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stages.core import arrow, shards
from stages.core import documents as shard
from stages.core.takedown import host, text_hash

_COUNTED = ("languages", "hosts")
_HASHES = pa.schema([pa.field("hash", pa.string())])


def withhold(built: Sequence[shards.Built], texts: frozenset[str]) -> list[shards.Built]:
    """The shards, those that hold a named text built again with it among the dropped, which keep no word of it.

    The hashes of a shard's texts are listed once; a list that grows touches only the shards with its new entries.

    Args:
        built: Outputs ``documents`` and ``dropped``.
        texts: Hashes of texts.
    """
    if not texts:
        return list(built)
    units = [shards.Unit((one.outputs["documents"],), {"hashes": "hashes.parquet"}) for one in built]
    hashed = shards.build(hashes, None, units, label="extract-hashes")
    named = {at: sorted(texts & _column(one.outputs["hashes"])) for at, one in enumerate(hashed)}
    result = list(built)
    for at, found in named.items():
        if found:
            before = built[at]
            inputs = (before.outputs["documents"], before.outputs["dropped"])
            unit = shards.Unit(inputs, {label: path.name for label, path in before.outputs.items()})
            (after,) = shards.build(without, found, [unit], label="extract-takedown")
            result[at] = shards.Built(after.outputs, _recounted(before.metrics, after.metrics))
    return result


def hashes(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """The hash of every text of a shard, in order."""
    found = [{"hash": text_hash(document["text"])} for document in shard.read(inputs[0], ["text"])]
    pq.write_table(arrow.table(found, _HASHES), outputs["hashes"])
    return {"in": len(found), "out": len(found)}


def without(texts: list[str], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Documents (first input) but the named ones; those follow the dropped (second input), without text and title."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in _COUNTED}
    pages = characters = 0
    with shard.Writer(outputs["documents"]) as kept, shard.Writer(outputs["dropped"], dropped=True) as dropped:
        for page in shard.read(inputs[1]):
            dropped.write(page)
        for page in shard.read(inputs[0]):
            pages += 1
            if text_hash(page["text"]) in texts:
                dropped.write(page, text="", title="", stage="extract", reason="takedown")
                characters += len(page["text"])
                counts["languages"][page["language"]] += 1
                counts["hosts"][host(page["url"])] += 1
            else:
                kept.write(page)
    counted = {name: dict(sorted(count.items())) for name, count in counts.items()}
    taken = {"takedown": pages - kept.count}
    return {**counted, "in": pages, "out": kept.count, "characters": characters, "dropped": taken}


def _column(path: Path) -> set[str]:
    return set(arrow.read(path).column("hash").to_pylist())


def _recounted(before: shards.Metrics, taken: shards.Metrics) -> shards.Metrics:
    """The counts of a shard after some of its documents were taken."""
    less = {kind: {name: -count for name, count in taken[kind].items()} for kind in _COUNTED}
    less |= {"characters": -taken["characters"], "out": -taken["dropped"]["takedown"]}
    after = shards.total([before, less, {"dropped": taken["dropped"]}])
    return after | {
        kind: {name: count for name, count in after[kind].items() if count} for kind in ("languages", "hosts")
    }
