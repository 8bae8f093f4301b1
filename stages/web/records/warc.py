"""Records of web archives, read with caps: WARC 0.17 to 1.1 and ARC 1, compressed or not, whole or damaged.

Formats: https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/ and, for ARC,
https://archive.org/web/researcher/ArcFileFormat.php.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stages.web.records.members import RECORD_START, Piece, pieces
from stages.web.records.window import NEXT_RECORD, Loss, Window

__all__ = ["HEADER_END", "Loss", "Record", "parse_headers", "read", "read_at"]

_MAX_HEADER = 64 << 10
_KEPT = 256  # bytes that tell one unreadable stretch from another
HEADER_END = re.compile(rb"\n\r?\n")
_BUFFER = 256 << 10  # members are found by seeking: within the buffer that costs no call of the system
_RECORD_END = (b"\n\n", b"\n\r\n")
_BETWEEN = b"\r\n\r\n"  # what ends a record
_DIGITS = re.compile(r"[0-9]{1,18}")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_SPACE = " \t\n\r\v\f"
_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)[T ]?(\d\d):?(\d\d):?(\d\d)", re.ASCII)
# URL, address, 14 digits, content type, length; version 2 has more fields before the length.
_ARC_LINE = re.compile(rb"(\S+) \S+ (\d{14})\d* (\S*) (?:.* )?(\d+)\s*\Z")


@dataclass(frozen=True)
class Record:
    """One record; ``body`` is its block: for a response the HTTP message."""

    offset: int
    """Where to begin reading to have it again, in bytes: its own place, or that of the member it lies in."""
    kind: str
    """``WARC-Type``; of an ARC record, "response"; "unreadable" for bytes of which no record could be made."""
    url: str
    date: str
    """When it was captured, ISO 8601 in UTC; empty if unknown."""
    headers: dict[str, str]
    """WARC headers, names in lower case."""
    body: bytes
    problem: str = ""
    """Why ``body`` is not whole: too_large (then it is empty), truncated, damaged, or unreadable (then it is how the
    stretch begins, and nothing else is known); empty where it is."""

    @property
    def identity(self) -> str:
        """128 bits over URL, date and body, in hex: the ``id`` of the document that is made of it."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.url.encode("utf-8", "surrogatepass"), self.date.encode(), self.body):
            digest.update(len(part).to_bytes(8, "little") + part)
        return digest.hexdigest()


def read(path: Path, max_bytes: int, loss: Loss) -> Iterator[Record]:
    """The records of an archive in order; never raises for what is in the file.

    Args:
        path: A WARC or ARC, plain or compressed with gzip or zstd.
        max_bytes: Records with a longer block are given without it.
        loss: Is told of everything that belongs to no record.
    """
    with path.open("rb", buffering=_BUFFER) as file:
        yield from _records(Window(pieces(file), path.stat().st_size, loss), max_bytes)


def read_at(path: Path, offset: int, max_bytes: int) -> Iterator[Record]:
    """The records of an archive from the offset of one on."""
    with path.open("rb") as file:
        yield from _records(Window(pieces(file, offset), path.stat().st_size - offset, Loss()), max_bytes)


def _records(window: Window, max_bytes: int) -> Iterator[Record]:
    last = None  # where the record before lies
    while True:
        if piece := window.single():
            if record := _alone(piece, max_bytes):
                window.pass_single(piece)
                last = piece.offset
                yield record
                continue
            window.put(piece)
        if not window.skip_blank():
            gap = window.cross()
            if gap is None:
                return
            if gap.offset != last:  # else it is the end of that record, which says so
                yield _unreadable(gap.offset, gap.start)
            continue
        offset = window.offset
        header = _header(window)
        if header is None:
            start, rest = bytes(window.data[:_KEPT]), offset == last or not (window.in_member or last is None)
            _resynchronise(window)
            if not rest:  # of a record that has more bytes than it says
                yield _unreadable(offset, start)
            last = offset
            continue
        last = offset
        kind, url, date, length, headers = header
        if length is None:
            yield Record(offset, kind, url, date, headers, b"", "damaged")
            continue
        body, problem = _block(window, offset, length, max_bytes)
        yield Record(offset, kind, url, date, headers, body, problem)


def _alone(piece: Piece, max_bytes: int) -> Record | None:
    """The record that a whole member is, as the standard recommends; None where it is anything else.

    What :func:`_header` and :func:`_block` would find, in half the time: nothing is copied but the body.
    """
    data = piece.data
    end = HEADER_END.search(data, 0, _MAX_HEADER) if data.startswith(b"WARC/") and data.endswith(_BETWEEN) else None
    if end is None:
        return None
    header = _fields(data[: end.start()])
    length = header[3]
    if length is None or length > max_bytes or end.end() + length + len(_BETWEEN) != len(data):
        return None
    kind, url, date, _, headers = header
    return Record(piece.offset, kind, url, date, headers, data[end.end() : -len(_BETWEEN)])


def _unreadable(offset: int, start: bytes) -> Record:
    return Record(offset, "unreadable", "", "", {}, start, "unreadable")


def _block(window: Window, offset: int, length: int, max_bytes: int) -> tuple[bytes, str]:
    """The block of the record that begins at ``offset``, which the window is moved behind, and its problem."""
    too_large = length > max_bytes
    body = b"" if too_large else window.block(length)
    there = window.pass_block(length) if too_large else len(body)
    # What follows a whole record is another or the end; a gap there is the damaged end of its own member.
    window.skip_blank()
    own_gap = window.gap is not None and window.gap.offset == offset
    if there < length and not own_gap:
        # Where lines lost their carriage returns every length is too great; the records are whole all the same.
        if body.endswith(_RECORD_END) and RECORD_START.match(window.data):
            return body.rstrip(b"\r\n"), ""
        window.loss.add(there)
        return body, "truncated"
    if too_large:
        return body, "too_large"
    return body, "damaged" if own_gap and (there < length or not window.data) else ""


def _header(window: Window) -> tuple[str, str, str, int | None, dict[str, str]] | None:
    """Kind, URL, date, length and headers of the record that begins here, which the window is moved behind.

    The length is None where the header has none that can be; all is None where there is no header.
    """
    data = window.data
    if not HEADER_END.search(data, 0, _MAX_HEADER):
        window.fill(_MAX_HEADER)
    if not RECORD_START.match(data):
        return None
    window.enter()
    if not data.startswith(b"WARC/"):
        return _arc_header(window)
    end = HEADER_END.search(data, 0, min(_MAX_HEADER, window.bound))
    if end is None:
        return None
    header = _fields(bytes(data[: end.start()]))
    if header[3] is None and not header[0]:
        return None
    window.drop(end.end())
    return header


def _fields(block: bytes) -> tuple[str, str, str, int | None, dict[str, str]]:
    """What a WARC header says, as :func:`_header` gives it."""
    headers = parse_headers(block)
    given = headers.get("content-length", "")
    length = int(given) if _DIGITS.fullmatch(given) else None
    url = headers.get("warc-target-uri", "").strip("<> ")
    return headers.get("warc-type", "").lower(), url, _iso(headers.get("warc-date", "")), length, headers


def _arc_header(window: Window) -> tuple[str, str, str, int | None, dict[str, str]] | None:
    line = bytes(window.data[: window.data.find(b"\n", 0, min(_MAX_HEADER, window.bound)) + 1])
    found = _ARC_LINE.fullmatch(line)
    if found is None:
        return None
    window.drop(len(line))
    url, date, media_type, length = (part.decode("utf-8", "replace") for part in found.groups())
    kind = "response" if url.startswith(("http:", "https:")) else "warcinfo" if url.startswith("filedesc:") else "other"
    return kind, url, _iso(date), int(length), {"content-type": media_type}


def _resynchronise(window: Window) -> None:
    """Go on to what begins like a record on a line of its own, or to the next member that does, or to the next gap."""
    lost = 0
    while there := min(window.fill(_MAX_HEADER), window.bound):
        found = _next_start(window, there)
        if found is not None:
            step = found
        elif there == window.bound or window.gap is not None or window.ended:
            step = there
        else:  # the end of what is there may hold the beginning of a start
            step = max(there - 256, 1)
        window.drop(step)
        lost += step
        if found is not None:
            break
    window.loss.add(lost)


def _next_start(window: Window, there: int) -> int | None:
    found = NEXT_RECORD.search(window.data, 1, there)
    if found is None or not found[0].startswith(b"WARC/"):
        return found.start() if found else None
    # Of several starts before one blank line only the last can be a whole header: to try each in turn would take
    # hours for a file of nothing else.
    end = HEADER_END.search(window.data, found.start(), min(there, found.start() + _MAX_HEADER))
    start = found.start()
    for later in NEXT_RECORD.finditer(window.data, start, end.start() if end else there):
        if not later[0].startswith(b"WARC/"):
            break
        start = later.start()
    return start


def parse_headers(block: bytes) -> dict[str, str]:
    """Header lines after the first, by name in lower case; a repeated one keeps its last value, folds are joined."""
    if b"\n " in block or b"\n\t" in block:
        block = _FOLD.sub(b" ", block)
    lines = block.replace(b"\r", b"").decode("utf-8", "replace").split("\n")
    fields = (line.partition(":") for line in lines[1:])
    return {name.strip(_SPACE).lower(): value.strip(_SPACE) for name, colon, value in fields if colon}


def _iso(date: str) -> str:
    """A date of WARC (ISO 8601) or ARC (14 digits) as ISO 8601 in UTC, to the second; empty if it is neither."""
    digits = _DATE.match(date)
    if digits is None:
        return ""
    try:
        datetime(*map(int, digits.groups()))  # type: ignore[arg-type]
    except ValueError:
        return ""
    return "{}-{}-{}T{}:{}:{}Z".format(*digits.groups())
