"""What deduplication knows of the documents of one shard: a table, their shingles, and the keys that duplicates share.

Two documents are the same (``exact``) if they have the same words in the same order: lower case, runs of letters and
digits; every character is a word in scripts that are written without spaces (see :mod:`stages.web.shingles`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from stages.core import documents
from stages.core.params import params
from stages.core.shards import Metrics
from stages.web.minhash import Signer
from stages.web.shingles import Hashes, WordHashes, shingles


@params
class Signing:
    """How candidates for near-duplicates are found."""

    ngram: int
    """Words in a shingle."""
    bands: int
    """Keys per document; documents that share one are compared. 0 finds exact duplicates only."""
    rows: int
    """MinHash values in a key: fewer find more candidates, at more work."""
    seed: int
    """Draws the hash functions."""


TABLE = np.dtype(
    [
        ("id", "S32"),
        ("date", "S32"),
        ("source", "u4"),  # number in the shard's list of sources
        ("offset", "i8"),
        ("score", "f8"),  # of the column that says which document stays; 0 where none does
        ("words", "u4"),
        ("shingles", "u4"),
        ("digest", "u8", 2),  # of the words in order
    ]
)
"""A row for each document of a shard."""

ENTRY = np.dtype([("key", "u8"), ("row", "u4")])
"""That a document has a key. Files of entries are sorted by key, so that those of many shards can be merged."""


def labels(bands: int) -> list[str]:
    """Names of the files of entries: the digest is the first key, the bands' follow."""
    return ["exact", *(f"band{band:02}" for band in range(bands))]


def entries(keys: Hashes, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Entries of ``keys`` in ``rows``, sorted."""
    order = np.argsort(keys, kind="stable")
    table = np.empty(len(keys), ENTRY)
    table["key"], table["row"] = keys[order], rows[order]
    return table


def sign(settings: list[Any], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Sign one shard.

    Args:
        settings: A :class:`Signing`, and the column of scores or an empty string.
        inputs: The shard.
        outputs: ``table``, ``sources`` (their names, JSON), ``shingles`` (the sorted sets, one after another), and a
            file of entries for each of :func:`labels`.
    """
    signing, column = settings
    hashes, signer = WordHashes(), Signer(signing.bands, signing.rows, signing.seed)
    rows: list[tuple[Any, ...]] = []
    sets: list[Hashes] = [np.zeros(0, np.uint64)]
    keys: list[Hashes] = []
    sources: dict[str, int] = {}
    columns = ["id", "date", "source", "offset", "text", *([column] if column else [])]
    for document in documents.read(inputs[0], columns):
        words = hashes.of(document["text"])
        own = shingles(words, signing.ngram)
        sets.append(own)
        digest = np.frombuffer(xxhash.xxh3_128_digest(words.tobytes()), np.uint64)
        keys.append(np.concatenate([digest[:1], signer.keys(own)]))
        source = sources.setdefault(document["source"], len(sources))
        score = document[column] if column else 0.0
        place = (document["id"].encode(), document["date"].encode(), source, document["offset"])
        rows.append((*place, score, len(words), len(own), digest))
    np.save(outputs["table"], np.array(rows, TABLE))
    outputs["sources"].write_text(json.dumps(list(sources)), "utf-8")
    np.save(outputs["shingles"], np.concatenate(sets))
    stacked = np.array(keys, np.uint64).reshape(len(rows), 1 + signing.bands)
    for number, label in enumerate(labels(signing.bands)):
        np.save(outputs[label], entries(stacked[:, number], np.arange(len(rows))))
    return {"in": len(rows)}
