"""The steps of deduplication over shards: group what shares a key, then divide each shard.

The modules beside make the signatures of a shard (``signatures``) and the buckets of all shards (``buckets``), choose
who stays (``resolution``), and find what is cut out of the documents that stay (``repeats``).

A billion documents, by 47,772 of 6.8 kB of which two thirds are duplicates: one core takes 255 hours for signatures and
passages, 6 for buckets (8 units) and 31 for dividing, on as many machines as there are; ``group`` takes 5 in one
process, which touches 77 bytes for each document at random and streams 20 for each key that is shared (300 GB).
Shingles take 8.5 TB of disk, a fourth more than the text, keys and tables 0.4 TB. Sorting takes the profile's memory,
but the documents of one key are sorted together: 150 bytes for each. Time grows with the number of documents to the
power of 0.96 and memory to that of 0.27 (tests/benchmarks/dedup.py).

Buckets and groups are made again, over all documents, when there is a shard more: 0.1 s and 21 microseconds a document,
which for one archive added to 50 is a tenth of what reading and filtering that archive takes, whatever its size.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.core import documents
from stages.core.runtime import profile
from stages.core.shards import Metrics
from stages.web.duplicates import passages, repeats
from stages.web.duplicates.buckets import Numbers, Shards
from stages.web.duplicates.flat_files import created, mapped, scratch, write
from stages.web.duplicates.resolution import DROPPED, Linked, Resolution
from stages.web.duplicates.shingles import Hashes, WordHashes, jaccard, split
from stages.web.duplicates.signatures import DECISION, TABLE

EXTRA = (pa.field("duplicate_of", pa.string(), nullable=False), pa.field("similarity", pa.float32(), nullable=False))
_TOGETHER = 1 << 16  # pairs of documents compared at a time: some 200 bytes each


def group(settings: list[Any], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Decide on all documents; resident memory is the profile's, and the files that are mapped.

    Args:
        settings: Similarity at or above which a document is dropped; documents of a bucket that others are compared
            with; names of the shards.
        inputs: Of all shards the tables, then the shingles; then of each part of the keys ``members`` and ``starts``.
        outputs: For each shard, by name, what is dropped of it (DECISION, without a header).
    """
    similarity, reach, names = settings
    tables, sets, buckets = inputs[: len(names)], inputs[len(names) : 2 * len(names)], inputs[2 * len(names) :]
    firsts = Shards(tables, ()).firsts()
    with scratch(outputs) as folder:
        kinds = [
            Linked.open(members, starts, folder / f"cursors{number}")
            for number, (members, starts) in enumerate(zip(buckets[::2], buckets[1::2], strict=True))
        ]
        resolution = Resolution(int(firsts[-1]), folder)
        comparison = Comparison(tables, sets, firsts, similarity, folder / "known")
        resolution.run(kinds, comparison, similarity, reach, profile().memory_mb * 1_000_000)
        for number, name in enumerate(names):
            _write_decisions(number, resolution, comparison, outputs[name])
        groups = _sizes(resolution, folder)
    return {"in": int(firsts[-1]), "groups": groups}


_KNOWN = np.dtype([("id", "S32"), ("digest", "u8", 2), ("start", "i8"), ("shingles", "u4"), ("shard", "u4")])


class Comparison:
    """Compares documents by their shingles, which stay on disk.

    Args:
        tables: The tables of all shards.
        sets: The shingles of all shards.
        firsts: Number of the first document of each shard.
        similarity: Below which the true value does not matter.
        path: For a file of what is known of each document, 64 bytes.
    """

    def __init__(
        self, tables: Sequence[Path], sets: Sequence[Path], firsts: Numbers, similarity: float, path: Path
    ) -> None:
        self.firsts, self._similarity = firsts, similarity
        self.known = created(path, _KNOWN, int(firsts[-1]))
        for shard, table in enumerate(tables):
            rows, own = mapped(table, TABLE), self.known[firsts[shard] : firsts[shard + 1]]
            for name in ("id", "digest", "shingles"):
                own[name] = rows[name]
            own["start"] = np.cumsum(rows["shingles"], dtype=np.int64) - rows["shingles"]
            own["shard"] = shard
        # As many files are mapped at a time.
        self._shingles = functools.lru_cache(256)(lambda shard: mapped(sets[shard], np.uint64))

    def __call__(self, ones: Numbers, others: Numbers) -> npt.NDArray[np.float64]:
        """Jaccard similarities of documents, each with one other; 0 where the sizes alone rule the threshold out."""
        blocks = [slice(start, start + _TOGETHER) for start in range(0, len(ones), _TOGETHER)]
        return np.concatenate([np.zeros(0), *(self._compared(ones[block], others[block]) for block in blocks)])

    def _compared(self, ones: Numbers, others: Numbers) -> npt.NDArray[np.float64]:
        one, other = self.known[ones], self.known[others]
        least, most = np.minimum(one["shingles"], other["shingles"]), np.maximum(one["shingles"], other["shingles"])
        same = (one["digest"] == other["digest"]).all(axis=1)
        # The smaller set divided by the larger bounds the similarity from above.
        near = np.flatnonzero((least >= self._similarity * most) & ~same)
        found = np.where(same, 1.0, 0.0)
        found[near] = [jaccard(*sets) for sets in zip(self._sets(one[near]), self._sets(other[near]), strict=True)]
        return found

    def _sets(self, known: npt.NDArray[Any]) -> Iterator[Hashes]:
        """The sorted sets of shingles of some documents."""
        ends = (known["start"] + known["shingles"]).tolist()
        for shard, start, end in zip(known["shard"].tolist(), known["start"].tolist(), ends, strict=True):
            yield self._shingles(shard)[start:end]


def _write_decisions(shard: int, resolution: Resolution, comparison: Comparison, path: Path) -> None:
    first, end = comparison.firsts[shard : shard + 2].tolist()
    numbers = first + np.flatnonzero(resolution.status[first:end] == DROPPED)
    known, of = comparison.known[numbers], comparison.known[resolution.of[numbers]]
    same = (known["digest"] == of["digest"]).all(axis=1)
    table = np.empty(len(numbers), DECISION)
    table["row"], table["exact"], table["of"] = numbers - first, same, of["id"]
    table["similarity"] = resolution.similarity[numbers]
    write(path, table)


def _sizes(resolution: Resolution, folder: Path) -> Metrics:
    """How many groups there are, and the size of the largest."""
    sizes = created(folder / "sizes", np.int64, len(resolution.status))
    for part in resolution.parts(DROPPED):
        np.add.at(sizes, resolution.of[part], 1)
    return {"count": int(np.count_nonzero(sizes)), "largest": int(sizes.max(initial=0)) + 1}


def divide(settings: list[Any], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Write the kept and the dropped documents of one shard, all columns as they are.

    Args:
        settings: Similarity at or above which a document is dropped, and what is cut out of those that stay.
        inputs: The shard, what is dropped of it, and files of what is cut out of the others.
        outputs: ``kept`` and ``dropped``.
    """
    similarity, params = settings
    of, limited = EXTRA[0], EXTRA[1].with_metadata({"at_most": str(similarity)})
    decisions = {
        row: ("exact_duplicate" if exact else "near_duplicate", name.decode(), alike)
        for row, exact, name, alike in np.fromfile(inputs[1], DECISION).tolist()
    }
    cuts, hashes = repeats.cuts(inputs[2:]), WordHashes()
    reasons: Counter[str] = Counter(exact_duplicate=0, near_duplicate=0, too_short_after_cuts=0)
    changed: Counter[str] = Counter(documents=0, characters=0)
    added = documents.added(inputs[0])
    with (
        documents.Writer(outputs["kept"], added) as kept,
        documents.Writer(outputs["dropped"], [*added, of, limited], dropped=True) as dropped,
    ):
        for row, document in enumerate(documents.read(inputs[0])):
            decision = decisions.get(row)
            text = document["text"]
            if decision is None and row in cuts:
                text = passages.without(text, cuts[row], params, hashes)
                if len(split(text)) < params.min_words:
                    decision = ("too_short_after_cuts", "", 0.0)
            if decision is None:
                changed["documents"] += text != document["text"]
                changed["characters"] += len(document["text"]) - len(text)
                kept.write(document, text=text)
            else:
                reason, name, alike = decision
                reasons[reason] += 1
                dropped.write(document, stage="dedup", reason=reason, duplicate_of=name, similarity=alike)
        count = kept.count
    return {"in": count + reasons.total(), "out": count, "dropped": dict(reasons), "cut": dict(changed)}
