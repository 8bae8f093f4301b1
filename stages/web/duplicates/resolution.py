"""Which document of each group stays: the one that a walk through all documents in order of preference would keep.

A document is dropped only if it is similar to one that was kept before it. So there are no chains: if A is similar to B
and B to C but A not to C, then C stays when B is dropped for A. The result is that of the walk, document by document,
but it is found bucket by bucket, which parts the memory from the number of documents: in each round a document waits
for the first one before it in a bucket that is similar and not yet decided; what waits for nothing stays, what waits
for one that stays goes (Blelloch et al. 2012, arXiv:1202.3205, on the same for independent sets of a graph).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.core import arrays
from stages.web.duplicates.buckets import Numbers
from stages.web.duplicates.flat_files import created, mapped

UNDECIDED, KEPT, DROPPED = range(3)

Compare = Callable[[Numbers, Numbers], npt.NDArray[np.float64]]
"""Similarities of documents, each with one other; 0 where it is surely below the threshold."""

_ENTRY_BYTES = 120  # for each entry while a part of the buckets is worked on
_BLOCK = 1 << 20  # documents looked at together


@dataclass(frozen=True)
class Linked:
    """Buckets on disk."""

    starts: Numbers
    """Where each bucket begins in ``members``; its length at the end."""
    members: Numbers
    """Documents; within a bucket those to be preferred first."""
    cursors: npt.NDArray[np.uint32]
    """For each member, how many of those before it in its bucket are done with: dropped, or kept and not similar."""

    @classmethod
    def open(cls, members: Path, starts: Path, cursors: Path) -> "Linked":
        """Map what :func:`stages.web.duplicates.buckets.bucket` wrote, and a new file ``cursors``."""
        own = mapped(members, np.int64)
        return cls(mapped(starts, np.int64), own, created(cursors, np.uint32, len(own)))

    def parts(self, entries: int) -> Iterator[tuple[int, int]]:
        """Ranges of whole buckets with about that many members each."""
        first = 0
        while first < len(self.starts) - 1:
            end = int(np.searchsorted(self.starts, self.starts[first] + entries, side="right")) - 1
            end = max(end, first + 1)
            yield first, end
            first = end


def left(kinds: Sequence[Linked], status: npt.NDArray[np.uint8], paths: Sequence[Path], entries: int) -> Linked:
    """The buckets in which a document is undecided, without those that are dropped; written to three ``paths``."""
    with paths[0].open("wb") as starts, paths[1].open("wb") as members, paths[2].open("wb") as cursors:
        total = 0
        for kind in kinds:
            for first, end in kind.parts(entries):
                begin, stop = int(kind.starts[first]), int(kind.starts[end])
                own, begins = kind.members[begin:stop], kind.starts[first:end] - begin
                there = status[own] != DROPPED
                waiting = np.add.reduceat(status[own] == UNDECIDED, begins) > 0
                lengths = np.diff(np.append(begins, len(own)))
                kept = there & np.repeat(waiting, lengths)
                before = np.append(0, np.cumsum(there))
                start = np.repeat(begins, lengths)
                arrays.write(members, own[kept])
                done = (before[start + kind.cursors[begin:stop]] - before[start])[kept]
                arrays.write(cursors, done.astype(np.uint32))
                sizes = np.add.reduceat(kept, begins)[waiting]
                arrays.write(starts, total + np.cumsum(sizes) - sizes)
                total += int(sizes.sum())
        arrays.write(starts, np.array([total], np.int64))
    return Linked(mapped(paths[0], np.int64), mapped(paths[1], np.int64), mapped(paths[2], np.uint32, writable=True))


class Resolution:
    """What is known of each document; arrays in files of a folder.

    Args:
        count: Documents.
        folder: For the arrays, 13 bytes for each document, and for the buckets in which some are undecided.
    """

    def __init__(self, count: int, folder: Path) -> None:
        self._folder = folder
        self.status = created(folder / "status", np.uint8, count)
        self.of = created(folder / "of", np.int64, count)
        """The document that this one duplicates, or waits for; -1 if there is none."""
        self.similarity = created(folder / "similarity", np.float32, count)
        """To that one."""
        self.of[:] = -1

    def run(self, kinds: Sequence[Linked], compare: Compare, similarity: float, reach: int, memory: int) -> None:
        """Decide on every document.

        Args:
            kinds: The buckets.
            compare: Gives the similarity of each of some documents and one before it.
            similarity: At or above which a document is dropped.
            reach: A document is compared with that many of its bucket, the first ones that are not dropped.
            memory: Bytes for the part of the buckets in work.
        """
        entries = max(memory // _ENTRY_BYTES, 1)
        last = len(self.status)
        files: list[Path] = []
        while True:
            for kind in kinds:
                for first, end in kind.parts(entries):
                    self._advance(kind, first, end, compare, similarity, reach)
            undecided = self._settle()
            if not undecided:
                return
            # What is decided is not looked at again, so that many rounds for a few documents cost little.
            if 2 * undecided <= last:
                last, before = undecided, files
                files = [self._folder / f"left{undecided}.{name}" for name in ("starts", "members", "cursors")]
                kinds = [left(kinds, self.status, files, entries)]
                for path in before:
                    path.unlink()

    def _settle(self) -> int:
        """End a round: what waits for nothing stays, what waits for a kept one goes. How many are undecided still."""
        for part in self.parts(UNDECIDED):
            self.status[part[self.of[part] < 0]] = KEPT
        for part in self.parts(UNDECIDED):
            self.status[part[self.status[self.of[part]] == KEPT]] = DROPPED
        undecided = 0
        for part in self.parts(UNDECIDED):
            self.of[part[self.status[self.of[part]] == DROPPED]] = -1
            undecided += len(part)
        return undecided

    def parts(self, status: int) -> Iterator[Numbers]:
        """The documents that have ``status``, some at a time."""
        for first in range(0, len(self.status), _BLOCK):
            yield first + np.flatnonzero(self.status[first : first + _BLOCK] == status)

    def _advance(self, kind: Linked, first: int, end: int, compare: Compare, similarity: float, reach: int) -> None:
        """Move the cursors of buckets ``first`` to ``end`` as far as what is decided allows."""
        starts = kind.starts[first : end + 1]
        begin, stop = int(starts[0]), int(starts[-1])
        members = kind.members[begin:stop]
        start = np.repeat(starts[:-1] - begin, np.diff(starts))
        limit = np.minimum(np.arange(len(members)) - start, reach)
        cursor = kind.cursors[begin:stop].astype(np.int64)
        # From each place the next member that is not dropped; nothing is dropped before the round ends.
        there = np.where(self.status[members] == DROPPED, len(members), np.arange(len(members)))
        there = np.append(np.minimum.accumulate(there[::-1])[::-1], len(members))
        active = np.arange(len(members))
        while len(active := self._ready(active, members, cursor, limit)):
            cursor[active] = np.minimum(there[start[active] + cursor[active]] - start[active], limit[active])
            active = active[cursor[active] < limit[active]]
            # A document's buckets one after the other, so that what it is found to duplicate does not depend on parts.
            leading = active[np.unique(members[active], return_index=True)[1]]
            numbers, others = members[leading], members[start[leading] + cursor[leading]]
            values = compare(numbers, others)
            alike = values >= similarity
            cursor[leading[~alike]] += 1
            self.of[numbers[alike]], self.similarity[numbers[alike]] = others[alike], values[alike]
        kind.cursors[begin:stop] = cursor

    def _ready(self, active: Numbers, members: Numbers, cursor: Numbers, limit: Numbers) -> Numbers:
        """Those of the places ``active`` whose document is undecided, waits for none, and has some left before it."""
        active = active[cursor[active] < limit[active]]
        numbers = members[active]
        return active[(self.status[numbers] == UNDECIDED) & (self.of[numbers] < 0)]
