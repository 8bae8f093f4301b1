"""The steps of deduplication over shards: sign each, decide over all signatures at once, divide each."""

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from stages.core import documents
from stages.core.params import params
from stages.core.shards import Metrics
from stages.web.minhash import Duplicate, Signer, resolve
from stages.web.shingles import Hashes, WordHashes, shingles


@params
class Signing:
    """What a document's signature depends on."""

    ngram: int
    """Words in a shingle."""
    bands: int
    """Keys per document; documents that share one are compared."""
    rows: int
    """MinHash values in a key: fewer find more candidates, at more work."""
    seed: int
    """Draws the hash functions."""


Row = dict[str, Any]
PREFERENCES: dict[str, Callable[[Row], tuple[Any, ...]]] = {
    "longest": lambda row: (-row["words"],),
    "earliest": lambda row: (row["date"],),
    "first": lambda row: (row["source"], row["offset"]),
}
COLUMNS = ["id", "date", "source", "offset"]
EXTRA = (pa.field("duplicate_of", pa.string(), nullable=False), pa.field("similarity", pa.float32(), nullable=False))
SIGNATURES = pa.schema(
    [documents.SCHEMA.field(name) for name in COLUMNS]
    + [
        pa.field("words", pa.int64()),
        pa.field("exact", pa.binary(16)),
        pa.field("keys", pa.binary()),
        pa.field("shingles", pa.int64()),
    ]
)
DECISIONS = pa.schema([pa.field("row", pa.int64()), pa.field("reason", pa.string()), *EXTRA])


def sign(params: Signing, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Signatures of one shard (Parquet), and the shingles of its documents one after another (array of uint64)."""
    hashes, signer = WordHashes(), Signer(params.bands, params.rows, params.seed)
    rows: list[Row] = []
    sets: list[Hashes] = []
    for document in documents.read(inputs[0], [*COLUMNS, "text"]):
        words = hashes.of(document.pop("text"))
        own = shingles(words, params.ngram)
        sets.append(own)
        exact = xxhash.xxh3_128_digest(words.tobytes())
        keys = signer.keys(own).tobytes()
        rows.append({**document, "words": len(words), "exact": exact, "keys": keys, "shingles": len(own)})
    np.save(outputs["shingles"], np.concatenate([np.zeros(0, np.uint64), *sets]))
    pq.write_table(pa.Table.from_pylist(rows, schema=SIGNATURES), outputs["signatures"], compression="zstd")
    return {"in": len(rows)}


def group(params: list[Any], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Decide over all shards; ``inputs`` are their signatures, then their shingles.

    Holds about 1 kB per document in memory, whatever its length; shingles stay on disk.
    """
    similarity, keep = params
    signatures, sets = inputs[: len(inputs) // 2], inputs[len(inputs) // 2 :]
    rows: list[Row] = []
    for shard, path in enumerate(signatures):
        start = 0
        for number, row in enumerate(pq.read_table(path).to_pylist()):
            rows.append({**row, "shard": shard, "row": number, "start": start})
            start += row["shingles"]
    dropped = _resolve(rows, sets, similarity, PREFERENCES[keep])
    decisions: dict[int, list[Row]] = {shard: [] for shard in range(len(signatures))}
    for number, duplicate in sorted(dropped.items()):
        decisions[rows[number]["shard"]].append(
            {
                "row": rows[number]["row"],
                "reason": "exact_duplicate" if duplicate.exact else "near_duplicate",
                "duplicate_of": rows[duplicate.of]["id"],
                "similarity": duplicate.similarity,
            }
        )
    for shard, path in enumerate(signatures):
        pq.write_table(pa.Table.from_pylist(decisions[shard], schema=DECISIONS), outputs[path.stem])
    sizes = Counter(duplicate.of for duplicate in dropped.values())
    return {"in": len(rows), "groups": {"count": len(sizes), "largest": max(sizes.values(), default=0) + 1}}


def _resolve(
    rows: list[Row], sets: Sequence[Path], similarity: float, preference: Callable[[Row], tuple[Any, ...]]
) -> dict[int, Duplicate]:
    @functools.lru_cache(256)  # mapped files at a time
    def shard(number: int) -> Hashes:
        return np.load(sets[number], mmap_mode="r")

    def own(number: int) -> Hashes:
        row = rows[number]
        return shard(row["shard"])[row["start"] : row["start"] + row["shingles"]]

    # Nothing in the order depends on the shards, so the same documents stay however they are divided into shards.
    order = sorted(
        range(len(rows)),
        key=lambda number: (*preference(rows[number]), *(rows[number][name] for name in COLUMNS)),
    )
    if not rows:
        return {}
    keys = np.frombuffer(b"".join(row["keys"] for row in rows), np.uint64).reshape(len(rows), -1)
    return resolve(order, [row["exact"] for row in rows], keys, own, similarity)


def divide(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Write the kept and the dropped documents of one shard; ``inputs`` are the shard and its decisions."""
    decisions = {row.pop("row"): row for row in pq.read_table(inputs[1]).to_pylist()}
    reasons: Counter[str] = Counter(exact_duplicate=0, near_duplicate=0)
    with (
        documents.Writer(outputs["kept"]) as kept,
        documents.Writer(outputs["dropped"], EXTRA, dropped=True) as dropped,
    ):
        for row, document in enumerate(documents.read(inputs[0])):
            decision = decisions.get(row)
            if decision is None:
                kept.write(document)
            else:
                reasons[decision["reason"]] += 1
                dropped.write(document, stage="dedup", **decision)
        count = kept.count
    return {"in": count + reasons.total(), "out": count, "dropped": dict(reasons)}
