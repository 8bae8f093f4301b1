"""What deduplication knows of the documents of one shard: a table, their shingles, and the keys that duplicates share.

Two documents are the same (``exact``) if they have the same words in the same order: lower case, runs of letters and
digits; every character is a word in scripts that are written without spaces (see ``shingles``).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import xxhash
from pydantic import Field, NonNegativeInt, PositiveInt

from stages.core import documents
from stages.core.params import params
from stages.core.shards import Metrics
from stages.web.duplicates.flat_files import write
from stages.web.duplicates.minhash import Signer
from stages.web.duplicates.passages import keys_of_paragraphs, keys_of_runs
from stages.web.duplicates.shingles import Hashes, WordHashes, shingles


@params
class Signing:
    """How candidates for near-duplicates are found."""

    ngram: PositiveInt
    """Words in a shingle."""
    bands: Annotated[int, Field(ge=0, le=1000)]
    """Keys per document; documents that share one are compared. 0 finds exact duplicates only."""
    rows: Annotated[int, Field(ge=1, le=1000)]
    """MinHash values in a key: fewer find more candidates, at more work."""
    seed: NonNegativeInt
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

DECISION = np.dtype([("row", "u4"), ("exact", "?"), ("of", "S32"), ("similarity", "f4")])
"""A document of a shard that is dropped, and the id of the one that it duplicates."""

PARTS = 8
"""Files of entries of a shard, by the first bits of the key: so many units merge the keys of all shards."""

LABELS = tuple(f"keys{part}" for part in range(PARTS))
"""Their names."""


def entries(keys: Sequence[Hashes]) -> npt.NDArray[Any]:
    """Entries of the keys of each row, sorted."""
    rows = np.repeat(np.arange(len(keys)), [len(own) for own in keys])
    joined = np.concatenate([np.zeros(0, np.uint64), *keys])
    order = np.argsort(joined, kind="stable")
    table = np.empty(len(joined), ENTRY)
    table["key"], table["row"] = joined[order], rows[order]
    return table


_KINDS: dict[str, Callable[[str, int, WordHashes], Hashes]] = {"paragraphs": keys_of_paragraphs, "runs": keys_of_runs}


def sign(settings: list[Any], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Sign one shard.

    Args:
        settings: A :class:`Signing`; the column of scores or an empty string; the passages that are asked for,
            ``paragraphs`` or ``runs``, and their length in characters or words.
        inputs: The shard.
        outputs: ``sources`` (their names, JSON), and files without a header: ``table``, ``shingles`` (the sorted sets,
            one after another), and entries for each of :data:`LABELS`: the first key is that of the words in order,
            the bands' follow; and for each kind of passages.
    """
    signing, column, asked = settings
    hashes, signer = WordHashes(), Signer(signing.bands, signing.rows, signing.seed)
    rows: list[tuple[Any, ...]] = []
    sets: list[Hashes] = [np.zeros(0, np.uint64)]
    keys: list[Hashes] = []
    passages: dict[str, list[Hashes]] = {kind: [] for kind in asked}
    sources: dict[str, int] = {}
    columns = ["id", "date", "source", "offset", "text", *([column] if column else [])]
    for document in documents.read(inputs[0], columns):
        words = hashes.of(document["text"])
        shingled = shingles(words, signing.ngram)
        sets.append(shingled)
        digest = np.frombuffer(xxhash.xxh3_128_digest(words.tobytes()), np.uint64)
        keys.append(np.concatenate([digest[:1], signer.keys(shingled)]))
        for kind, length in asked.items():
            passages[kind].append(_KINDS[kind](document["text"], length, hashes))
        source = sources.setdefault(document["source"], len(sources))
        score = document[column] if column else 0.0
        place = (document["id"].encode(), document["date"].encode(), source, document["offset"])
        rows.append((*place, score, len(words), len(shingled), digest))
    write(outputs["table"], np.array(rows, TABLE))
    outputs["sources"].write_text(json.dumps(list(sources)), "utf-8")
    write(outputs["shingles"], np.concatenate(sets))
    own = entries(keys)
    bounds = np.searchsorted(own["key"], np.array([part * 2**64 // PARTS for part in range(1, PARTS)], np.uint64))
    for label, part in zip(LABELS, np.split(own, bounds), strict=True):
        write(outputs[label], part)
    for kind, found in passages.items():
        write(outputs[kind], entries(found))
    return {"in": len(rows)}
