"""The steps of decontamination over shards: hold out, index what must stay unseen, search, decide.

Brown et al. 2020 (arXiv:2005.14165), appendix C: runs of 13 words without regard to case and punctuation; those that
many training documents have are boilerplate and prove nothing. Unlike there, an evaluation text that is common as a
whole is no boilerplate: it is a question that was copied often, and is what matters most.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from stages.core import arrays, arrow, documents
from stages.core.shards import Metrics
from stages.web.duplicates import evaluation_texts
from stages.web.duplicates.overlap import Index, distinct
from stages.web.duplicates.shingles import WordHashes, members, ngrams, split

HELDOUT = "held-out documents"
"""What stands in the column ``overlaps`` where it is no evaluation file."""

EXTRA = (pa.field("overlaps", pa.string(), nullable=False), pa.field("overlap", pa.string(), nullable=False))
MATCHES = pa.schema([pa.field("row", pa.int64()), pa.field("position", pa.int64()), pa.field("ngram", pa.uint64())])


@dataclass(frozen=True)
class Draw:
    """Which documents are held out: those whose key is below the limit."""

    seed: int
    limit: int
    """0 to 2**64."""
    count: int
    """Documents drawn."""


def draw(paths: Sequence[Path], share: float, most: int, seed: int) -> Draw:
    """Draw ``share`` of the documents, and of those the ``most`` with the lowest keys.

    Whether a document is drawn depends on its id and the seed only, unless ``most`` is reached.
    """
    limit = int(share * 2**64)
    keys = (_key(row["id"], seed) for path in paths for row in documents.read(path, ["id"]))
    drawn = sorted(key for key in keys if key < limit)
    return Draw(seed, drawn[most], most) if len(drawn) > most else Draw(seed, limit, len(drawn))


def _key(document: str, seed: int) -> int:
    return xxhash.xxh3_64_intdigest(f"{seed} {document}".encode())


def hold_out(params: list[int], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """The held-out documents of one shard, all columns as they are, and the set of their n-grams (array of uint64)."""
    limit, seed, n = params
    drawn = [document for document in documents.read(inputs[0]) if _key(document["id"], seed) < limit]
    with documents.Writer(outputs["heldout"], documents.added(inputs[0])) as heldout:
        for document in drawn:
            heldout.write(document)
    arrays.save(outputs["ngrams"], distinct((document["text"] for document in drawn), n))
    return {"in": documents.count(inputs)}


def hash_texts(n: int, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """The set of n-grams of one file of evaluation texts; texts of fewer words are counted as ``short``."""
    counts: Counter[str] = Counter()

    def counted() -> Any:
        for text in evaluation_texts.read(inputs[0]):
            counts["in"] += 1
            counts["short"] += len(split(text)) < n
            yield text

    arrays.save(outputs["ngrams"], distinct(counted(), n))
    return {"in": counts["in"], "short": counts["short"]}


def merge(files: int, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """One index of all that must stay unseen; ``inputs`` are n-grams of ``files`` files, then of held-out shards."""
    sets = [np.load(path) for path in inputs]
    index = Index.merge([*sets[:files], np.concatenate([np.zeros(0, np.uint64), *sets[files:]])])
    index.save(outputs["index"])
    return {"in": len(index.ngrams)}


def search(params: list[int], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Where the documents of one shard have n-grams of the index; ``inputs`` are the shard and the index."""
    limit, seed, n = params
    hashes, index = WordHashes(), Index.load(inputs[1])
    tables = [arrow.table([], MATCHES)]
    row = -1
    for row, document in enumerate(documents.read(inputs[0], ["id", "text"])):
        if _key(document["id"], seed) < limit:
            continue
        own = ngrams(hashes.of(document["text"]), n)
        positions = index.find(own)
        if len(positions):
            columns = [[row] * len(positions), positions.tolist(), own[positions].tolist()]
            arrays = [arrow.column(values, field.type) for values, field in zip(columns, MATCHES, strict=True)]
            tables.append(pa.Table.from_arrays(arrays, schema=MATCHES))
    pq.write_table(pa.concat_tables(tables), outputs["matches"], compression="zstd")
    return {"in": row + 1}


def count_common(most: int, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """The n-grams that more than ``most`` documents have, over the matches of all shards."""
    found: list[np.ndarray[Any, np.dtype[np.uint64]]] = [np.zeros(0, np.uint64)]
    for path in inputs:
        matches = arrow.read(path, ["row", "ngram"])
        pairs = np.stack([arrow.numbers(matches["row"]).astype(np.uint64), arrow.numbers(matches["ngram"])])
        found.append(np.unique(pairs, axis=1)[1])  # a document counts once
    values, counts = np.unique(np.concatenate(found), return_counts=True)
    common = values[counts > most]
    arrays.save(outputs["common"], common)
    return {"in": len(inputs), "common": len(common)}


def find_copied(n: int, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Of one file of evaluation texts the n-grams of those most of whose n-grams are common, and how many those are.

    ``inputs`` are the file and the common n-grams.
    """
    hashes, common = WordHashes(), np.load(inputs[1])
    found = [np.zeros(0, np.uint64)]
    for text in evaluation_texts.read(inputs[0]) if len(common) else ():
        own = members(ngrams(hashes.of(text), n))
        if 2 * np.count_nonzero(np.isin(own, common)) > len(own):
            found.append(own)
    arrays.save(outputs["copied"], members(np.concatenate(found)))
    return {"in": len(inputs), "copied": len(found) - 1}


def decide(params: list[Any], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """The training and the dropped documents of one shard, all columns as they are.

    Held-out documents are in neither, and are counted as dropped for ``held_out``.

    Args:
        params: The limit and seed of the draw, the words of an n-gram, the share of its n-grams that a document may
            have in common with the held-out ones, names of the sources in the index.
        inputs: The shard, the index, the shard's matches, the common n-grams, and of each file of evaluation texts
            those of texts that are common as a whole, which count.
        outputs: ``training`` and ``dropped``.
    """
    limit, seed, n, most, names = params
    index = Index.load(inputs[1])
    common = np.setdiff1d(np.load(inputs[3]), np.concatenate([np.zeros(0, np.uint64), *map(np.load, inputs[4:])]))
    overlaps = _overlaps(arrow.read(inputs[2]), index, common)
    reasons: Counter[str] = Counter(evaluation_overlap=0, held_out=0, heldout_overlap=0)
    added = documents.added(inputs[0])
    with (
        documents.Writer(outputs["training"], added) as training,
        documents.Writer(outputs["dropped"], [*added, *EXTRA], dropped=True) as dropped,
    ):
        for row, document in enumerate(documents.read(inputs[0])):
            if _key(document["id"], seed) < limit:
                reasons["held_out"] += 1
                continue
            reason, found = "", overlaps.get(row)
            if found:
                words = split(document["text"])
                if names[found.source] != HELDOUT:
                    reason = "evaluation_overlap"
                elif found.ngrams > most * (len(words) - n + 1):
                    reason = "heldout_overlap"
            if found and reason:
                reasons[reason] += 1
                shared = " ".join(words[found.position : found.position + n])
                dropped.write(
                    document, stage="decontaminate", reason=reason, overlaps=names[found.source], overlap=shared
                )
            else:
                training.write(document)
        count = training.count
    return {"in": count + reasons.total(), "out": count, "dropped": dict(reasons)}


class Overlap(NamedTuple):
    """What a document has in common with what must stay unseen."""

    source: int
    """The first of the sources in the index."""
    position: int
    """The first word of the first n-gram in common with it."""
    ngrams: int
    """N-grams of the document in common with any source."""


def _overlaps(matches: pa.Table, index: Index, common: np.ndarray[Any, Any]) -> dict[int, Overlap]:
    """Row of the document to its overlap; n-grams that are ``common`` do not count."""
    found = arrow.numbers(matches["ngram"])
    unusual = ~np.isin(found, common)
    sources = index.sources_of(found[unusual])
    rows, positions = (arrow.numbers(matches[name])[unusual] for name in ("row", "position"))
    counts = Counter(rows.tolist())
    order = np.lexsort((positions, sources, rows))
    first: dict[int, Overlap] = {}
    for row, source, position in zip(*(column[order].tolist() for column in (rows, sources, positions)), strict=True):
        first.setdefault(row, Overlap(source, position, counts[row]))
    return first
