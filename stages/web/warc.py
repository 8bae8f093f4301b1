"""Records of web archives, read with caps: WARC 0.17 to 1.1 and ARC 1, compressed or not, whole or damaged.

Formats: https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/ and, for ARC,
https://archive.org/web/researcher/ArcFileFormat.php.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from stages.web.members import RECORD_START, Gap, Piece, pieces

_MAX_HEADER = 64 << 10
_SKIP = 1 << 20
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_NEXT_RECORD = re.compile(rb"(?<=\n)(?:" + RECORD_START.pattern + rb")")
# URL, address, 14 digits, content type, length; version 2 has more fields before the length.
_ARC_LINE = re.compile(rb"(\S+) \S+ (\d{14})\d* (\S*) (?:.* )?(\d+)\s*\Z")


@dataclass(frozen=True)
class Record:
    """One record; ``body`` is its block: for a response the HTTP message."""

    offset: int
    """Where to begin reading to have it again, in bytes: its own place, or that of the member it lies in."""
    kind: str
    """``WARC-Type``; of an ARC record, "response"."""
    url: str
    date: str
    """When it was captured, ISO 8601 in UTC; empty if unknown."""
    headers: dict[str, str]
    """WARC headers, names in lower case."""
    body: bytes
    problem: str = ""
    """Why ``body`` is not whole: too_large (then it is empty), truncated, damaged; empty where it is."""


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


def read(path: Path, max_bytes: int, loss: Loss) -> Iterator[Record]:
    """The records of an archive in order; never raises for what is in the file.

    Args:
        path: A WARC or ARC, plain or compressed with gzip or zstd.
        max_bytes: Records with a longer block are given without it.
        loss: Is told of everything that belongs to no record.
    """
    with path.open("rb") as file:
        yield from _records(_Window(pieces(file), loss), max_bytes)


def read_at(path: Path, offset: int, max_bytes: int) -> Iterator[Record]:
    """The records of an archive from the offset of one on."""
    with path.open("rb") as file:
        yield from _records(_Window(pieces(file, offset), Loss()), max_bytes)


@dataclass
class _Window:
    """What lies ahead in an archive, up to the next gap."""

    source: Iterator[Piece | Gap]
    loss: Loss
    data: bytearray = field(default_factory=bytearray)
    marks: deque[Piece] = field(default_factory=deque)
    used: int = 0  # bytes of the first mark that are behind
    gap: Gap | None = None
    ended: bool = False

    def fill(self, count: int) -> int:
        """Have ``count`` bytes ahead if there are as many before the next gap; how many there are."""
        while len(self.data) < count and self.gap is None and not self.ended:
            piece = next(self.source, None)
            if piece is None:
                self.ended = True
            elif isinstance(piece, Gap):
                self.gap = piece
            else:
                self.data += piece.data
                self.loss.seen += len(piece.data)
                self.marks.append(piece)
        return len(self.data)

    def take(self, count: int) -> bytes:
        """Go on by up to ``count`` bytes, and have them."""
        taken = bytes(self.data[: min(count, self.fill(count))])
        self.drop(len(taken))
        return taken

    def drop(self, count: int) -> None:
        """Go on by ``count`` bytes that are there."""
        del self.data[:count]
        self.used += count
        while self.marks and self.used >= len(self.marks[0].data):
            self.used -= len(self.marks.popleft().data)

    def skip(self, count: int) -> int:
        """Go on by up to ``count`` bytes without keeping them; how many there were."""
        skipped = 0
        while skipped < count and (there := min(self.fill(min(count - skipped, _SKIP)), count - skipped)):
            self.drop(there)
            skipped += there
        return skipped

    def skip_blank(self) -> bool:
        """Go on to the next byte that ends no line, or to the next gap; whether there is one."""
        while self.fill(1):
            blank = len(self.data) - len(self.data.lstrip(b"\r\n"))
            if not blank:
                return True
            self.drop(blank)
        return False

    @property
    def offset(self) -> int:
        """Where the next byte is to be found."""
        mark = self.marks[0]
        return mark.offset if mark.in_member else mark.offset + self.used

    def cross(self) -> bool:
        """Go on behind the gap; false at the end of the archive."""
        if self.gap is None:
            return False
        self.loss.add(self.gap.length)
        self.loss.seen += self.gap.length
        self.gap = None
        return True


def _records(window: _Window, max_bytes: int) -> Iterator[Record]:
    while True:
        if not window.skip_blank():
            if not window.cross():
                return
            continue
        offset = window.offset
        header = _header(window)
        if header is None:
            _resynchronise(window)
            continue
        kind, url, date, length, headers = header
        problem = "too_large" if length > max_bytes else ""
        body = b"" if problem else window.take(length)
        there = window.skip(length) if problem else len(body)
        # What follows a whole record is another or the end; a gap there is the damaged end of its own member.
        window.skip_blank()
        if there < length:
            problem = "truncated" if window.gap is None or window.gap.offset != offset else "damaged"
        elif not window.data and window.gap is not None and window.gap.offset == offset:
            problem = "damaged"
        if problem == "truncated":
            window.loss.add(there)
        yield Record(offset, kind, url, date, headers, body, problem)


def _header(window: _Window) -> tuple[str, str, str, int, dict[str, str]] | None:
    """Kind, URL, date, length and headers of the record that begins here, which the window is moved behind."""
    window.fill(_MAX_HEADER)
    head = bytes(window.data[:_MAX_HEADER])
    if not RECORD_START.match(head):
        return None
    if not head.startswith(b"WARC/"):
        return _arc_header(window, head)
    end = _HEADER_END.search(head)
    if end is None:
        return None
    headers = parse_headers(head[: end.start()])
    length = headers.get("content-length", "")
    if not re.fullmatch(r"[0-9]{1,18}", length):
        return None
    window.drop(end.end())
    url = headers.get("warc-target-uri", "").strip("<> ")
    return headers.get("warc-type", "").lower(), url, _iso(headers.get("warc-date", "")), int(length), headers


def _arc_header(window: _Window, head: bytes) -> tuple[str, str, str, int, dict[str, str]] | None:
    line = head[: head.find(b"\n") + 1]
    found = _ARC_LINE.fullmatch(line)
    if found is None:
        return None
    window.drop(len(line))
    url, date, media_type, length = (part.decode("utf-8", "replace") for part in found.groups())
    kind = "response" if url.startswith(("http:", "https:")) else "warcinfo" if url.startswith("filedesc:") else "other"
    return kind, url, _iso(date), int(length), {"content-type": media_type}


def _resynchronise(window: _Window) -> None:
    """Go on to what begins like a record on a line of its own, or to the next gap."""
    lost = 0
    while window.fill(_MAX_HEADER):
        found = _NEXT_RECORD.search(window.data, 1)
        # The end of what is there may hold the beginning of a start.
        step = found.start() if found else max(len(window.data) - 256, 1)
        if not found and (window.gap is not None or window.ended):
            step = len(window.data)
        window.drop(step)
        lost += step
        if found:
            break
    window.loss.add(lost)


def parse_headers(block: bytes) -> dict[str, str]:
    """Header lines after the first, by name in lower case; a repeated one keeps its last value, folds are joined."""
    lines = re.sub(rb"\r?\n[ \t]+", b" ", block).replace(b"\r", b"").split(b"\n")[1:]
    fields = (line.partition(b":") for line in lines)
    return {
        name.strip().lower().decode("utf-8", "replace"): value.strip().decode("utf-8", "replace")
        for name, colon, value in fields
        if colon
    }


def _iso(date: str) -> str:
    """A date of WARC (ISO 8601) or ARC (14 digits) as ISO 8601 in UTC, to the second; empty if it is neither."""
    digits = re.match(r"(\d{4})-?(\d\d)-?(\d\d)[T ]?(\d\d):?(\d\d):?(\d\d)", date)
    if digits is None:
        return ""
    try:
        moment = datetime(*map(int, digits.groups()), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
