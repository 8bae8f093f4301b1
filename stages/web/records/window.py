"""What lies ahead in a web archive: a window over its decoded bytes that moves on, and what it had to leave out."""

import re
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from stages.web.records.members import RECORD_START, Gap, Piece

NEXT_RECORD = re.compile(rb"(?<=\n)(?:" + RECORD_START.pattern + rb")")

_SKIP = 1 << 20
_START = 256  # bytes in which a record that begins there shows itself
_BLANK = re.compile(rb"[\r\n]*")


@dataclass
class Loss:
    """What could not be read of an archive."""

    stretches: int = 0
    bytes: int = 0
    """Decoded where that was possible, else as they lie in the file."""
    seen: int = 0
    """All bytes of the archive so far, counted alike."""

    @property
    def counts(self) -> dict[str, int]:
        """For metrics."""
        return {"stretches": self.stretches, "bytes": self.bytes, "seen": self.seen}

    def add(self, count: int) -> None:
        """One more stretch of ``count`` bytes."""
        self.stretches += 1
        self.bytes += count


class _Mark(NamedTuple):
    """Where ``length`` bytes of the window come from."""

    offset: int
    in_member: bool
    length: int


@dataclass
class Window:
    """The bytes ahead, up to the next gap."""

    source: Iterator[Piece | Gap]
    size: int
    """Bytes of the file from where the source begins."""
    loss: Loss
    data: bytearray = field(default_factory=bytearray)
    gap: Gap | None = None
    ended: bool = False
    _marks: deque[_Mark] = field(default_factory=deque)
    _used: int = 0  # bytes of the first mark that are behind
    _at: int = 0  # bytes that are behind
    _member: int | None = None  # offset of the member that the last byte read comes from; None in a plain archive
    _newest: Piece | None = None
    _starts: deque[int] = field(default_factory=deque)  # where members ahead begin that begin with a record

    def fill(self, count: int) -> int:
        """Have ``count`` bytes ahead if there are as many before the next gap; how many there are."""
        while len(self.data) < count and self.gap is None and not self.ended:
            self.put(next(self.source, None))
        return len(self.data)

    def single(self) -> Piece | None:
        """What lies ahead, if that is one whole member and no more: it may go by without being copied."""
        if not self.data and self.gap is None and not self.ended:
            piece = next(self.source, None)
            if isinstance(piece, Piece) and piece.whole:
                return piece
            self.put(piece)
        if self._newest is not None and self._newest.whole and len(self._newest.data) == len(self.data):
            return self._newest
        return None

    def pass_single(self, piece: Piece) -> None:
        """Go on behind what :meth:`single` gave, which else is to be :meth:`put`."""
        if self.data:
            self.drop(len(self.data))
            self.enter()
            return
        self.loss.seen += len(piece.data)
        self._at += len(piece.data)
        self._member = piece.offset

    def put(self, piece: Piece | Gap | None) -> None:
        """Have one piece more ahead, or the gap or end that is there instead."""
        if piece is not None and piece is self._newest:
            return
        if piece is None:
            self.ended = True
        elif isinstance(piece, Gap):
            self.gap = piece
        else:
            self._add(piece)

    def _add(self, piece: Piece) -> None:
        if piece.in_member and piece.offset != self._member:
            self._member = piece.offset
            if RECORD_START.match(piece.data):
                self._starts.append(self._at + len(self.data))
        self._newest = piece
        self.data += piece.data
        self.loss.seen += len(piece.data)
        self._marks.append(_Mark(piece.offset, piece.in_member, len(piece.data)))

    def block(self, length: int) -> bytes:
        """Go on by the block of a record that says it has ``length`` bytes: less where another record begins before."""
        there = min(length, self.fill(length + _START), self.bound)
        if there < min(length, self.bound) or self.data[there : there + 1].strip(b"\r\n"):
            found = NEXT_RECORD.search(self.data, 0, there + _START)
            there = min(found.start(), there) if found else there
        taken = bytes(self.data[:there])
        self.drop(there)
        return taken

    def pass_block(self, length: int) -> int:
        """Go on as :meth:`block` does, without keeping the bytes; how many there were."""
        # Only a length that the file cannot have shows a lie here: what is skipped cannot be looked at again.
        lie = self._member is None and self._at + length > self.size
        passed = 0
        while passed < length:
            there = min(self.fill(min(length - passed, _SKIP)), length - passed, self.bound)
            found = NEXT_RECORD.search(self.data, 0, there) if lie else None
            if found:
                there = found.start()
            elif lie and there > _START and self.gap is None and not self.ended:
                there -= _START  # a start may lie across the end of what is there
            self.drop(there)
            passed += there
            if found or not there:
                break
        return passed

    @property
    def bound(self) -> int:
        """Bytes before the next member that begins with a record; no record goes beyond."""
        return self._starts[0] - self._at if self._starts else sys.maxsize

    def drop(self, count: int) -> None:
        """Go on by ``count`` bytes that are there."""
        del self.data[:count]
        self._at += count
        self._used += count
        while self._marks and self._used >= self._marks[0].length:
            self._used -= self._marks.popleft().length

    def enter(self) -> None:
        """Be within the record that begins here: its own start bounds it no more."""
        while self._starts and self._starts[0] <= self._at:
            self._starts.popleft()

    def skip_blank(self) -> bool:
        """Go on to the next byte that ends no line, or to the next gap; whether there is one."""
        while self.fill(1):
            blank = _BLANK.match(self.data)
            if not blank or not blank.end():
                return True
            self.drop(blank.end())
        return False

    @property
    def offset(self) -> int:
        """Where the next byte is to be found."""
        mark = self._marks[0]
        return mark.offset if mark.in_member else mark.offset + self._used

    @property
    def in_member(self) -> bool:
        """Whether the next byte comes from a compressed member."""
        return self._marks[0].in_member

    def cross(self) -> Gap | None:
        """Go on behind the gap, and give it; None at the end of the archive."""
        gap, self.gap = self.gap, None
        if gap is not None:
            self.loss.add(gap.length)
            self.loss.seen += gap.length
        return gap
