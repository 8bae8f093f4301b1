"""The bytes of a web archive below its compression, with what is damaged skipped and named.

A compressed archive is a row of gzip members or zstd frames, by convention one for each record. A reader that trusts
the stream loses everything behind a flipped byte, and takes a truncated file for a whole one; this one checks that
each member is complete, goes on at the next member that begins a record, and says how many bytes lie between.
"""

import contextlib
import io
import re
from collections.abc import Generator, Iterator
from typing import BinaryIO, NamedTuple

import zstandard
from fastwarc.stream_io import ZstdReader
from isal import isal_zlib as zlib  # the same interface and bytes, twice as fast (tests/benchmarks/data_path.py)

RECORD_START = re.compile(rb"WARC/\d|[a-z][a-z0-9+.-]*:\S* [0-9a-fA-F.:]+ \d{14} ")
"""How a record begins: a WARC version, or the URL, address and date of an ARC record."""

_DAMAGED: type[Exception] = zlib.IsalError  # type: ignore[assignment]  # its stub takes the class for an instance

_HEAD_END = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"\nContent-Length: *\d+\r?\n", re.IGNORECASE)

_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_ZSTD_DICTIONARY = b"\x5d\x2a\x4d\x18"  # https://iipc.github.io/warc-specifications/specifications/warc-zstd/

_READ = 32 << 10  # compressed bytes read at a time: most members fit
_PIECE = 1 << 20  # bytes decoded at a time: what a bomb can make before it is looked at
_SCAN = 1 << 20
_STEP = 64
_MAX_HEAD = 64 << 10
_PROBE = 4 << 10
_BLOCK = 256 << 10  # holds a frame's first block, which has 128 KiB at most, and nothing is decoded of less

# A member may grow this far freely; beyond, one that grows more than _RATIO-fold is given up as a bomb. Archives
# that are one single member are common and reach 20-fold; deflate ends at 1,032-fold.
_FREE = 64 << 20
_RATIO = 200


class Piece(NamedTuple):
    """Decoded bytes in a row."""

    offset: int
    """Where in the file to begin in order to read them again: of the member, or of the first of the bytes."""
    data: bytes
    in_member: bool
    """Whether they come from a compressed member, and so all have its offset."""
    whole: bool = False
    """Whether they are all of a gzip member, whose checksum was right."""


class Gap(NamedTuple):
    """A stretch of the file that could not be decoded, or was cut off."""

    offset: int
    length: int
    start: bytes
    """Its first bytes, as they lie in the file."""


def pieces(file: BinaryIO, offset: int = 0) -> Iterator[Piece | Gap]:
    """The decoded bytes of an archive from ``offset`` on: gzip, zstd or as they are, by the file's first bytes.

    Args:
        file: A seekable binary file.
        offset: Where to begin: 0, or an offset that a piece had.
    """
    file.seek(0)
    magic = file.read(4)
    if magic.startswith(_GZIP):
        return _members(file, offset)
    if magic == _ZSTD or _ZSTD_SKIPPABLE.match(magic):
        return _frames(file, offset)
    return _plain(file, offset)


def _plain(file: BinaryIO, offset: int) -> Iterator[Piece | Gap]:
    file.seek(offset)
    while data := file.read(_SCAN):
        yield Piece(offset, data, False)
        offset += len(data)


def _members(file: BinaryIO, offset: int) -> Iterator[Piece | Gap]:
    size = file.seek(0, io.SEEK_END)
    while offset < size:
        end = yield from _member(file, offset)
        if end is None:
            end = _next_start(file, offset + 1, _GZIP)
            yield _gap(file, offset, end)
        offset = end


def _gap(file: BinaryIO, offset: int, end: int) -> Gap:
    file.seek(offset)
    return Gap(offset, end - offset, file.read(min(end - offset, _PROBE)))


def _member(file: BinaryIO, offset: int) -> Generator[Piece, None, int | None]:
    """The bytes of one gzip member; returns where it ends, or None if it is damaged, truncated or a bomb."""
    file.seek(offset)
    decoder = zlib.decompressobj(wbits=31)
    read = made = 0
    pending = b""
    while not decoder.eof:
        pending = decoder.unconsumed_tail
        if not pending:
            pending = file.read(_READ)
            read += len(pending)
        try:
            data = decoder.decompress(pending, _PIECE)
        except _DAMAGED:
            decoder = zlib.decompressobj(wbits=31)
            if not made and (head := _head(decoder.decompress(step, _PROBE) for step in _cut(pending))):
                yield Piece(offset, head, True)
            return None
        if data:
            yield Piece(offset, data, True, decoder.eof and not made)
            made += len(data)
        elif not pending:
            return None  # the file ends within the member
        if made > _FREE and made > _RATIO * (read - len(decoder.unconsumed_tail)):
            return None
    return offset + read - len(decoder.unused_data)


def _cut(packed: bytes) -> Iterator[bytes]:
    return (packed[at : at + _STEP] for at in range(0, len(packed), _STEP))


def _head(steps: Iterator[bytes]) -> bytes:
    """The header of the record that a damaged member begins with, if it can be read: that tells which page is lost.

    Args:
        steps: What can be decoded, little by little.
    """
    made = bytearray()
    with contextlib.suppress(_DAMAGED, zstandard.ZstdError):
        for step in steps:
            made += step
            if (end := _HEAD_END.search(made)) or len(made) > _MAX_HEAD:
                head = bytes(made[: end.end()]) if end else b""
                return head if RECORD_START.match(head) and _LENGTH.search(head) else b""
    return b""


def _frames(file: BinaryIO, offset: int) -> Iterator[Piece | Gap]:
    size = file.seek(0, io.SEEK_END)
    dictionary = _dictionary(file)
    while offset < size:
        end = _frame_end(file, offset)
        if end is None or not (yield from _frame(file, offset, end, dictionary)):
            end = _next_start(file, offset + 1, _ZSTD, dictionary)
            yield _gap(file, offset, end)
        offset = end


def _frame(file: BinaryIO, offset: int, end: int, dictionary: bytes | None) -> Generator[Piece, None, bool]:
    """The bytes of one zstd frame; returns whether it is whole and no bomb."""
    file.seek(offset)
    if _ZSTD_SKIPPABLE.match(file.read(4)):
        return True
    reader = ZstdReader(_Part(file, offset, end), dictionary=dictionary)
    made = 0
    try:
        while data := reader.read(_PIECE):
            made += len(data)
            if made > _FREE and made > _RATIO * reader.inner_tell():
                return False
            yield Piece(offset, data, True)
    except OSError:
        file.seek(offset)
        packed = file.read(min(end - offset - 4, _BLOCK))  # without the checksum
        decoder = zstandard.ZstdDecompressor(zstandard.ZstdCompressionDict(dictionary or b"")).decompressobj()
        if not made and (head := _head(map(decoder.decompress, _cut(packed)))):
            yield Piece(offset, head, True)
        return False
    return True


def _frame_end(file: BinaryIO, offset: int) -> int | None:
    """Where the zstd frame that begins at ``offset`` ends, by the sizes in its headers (RFC 8878, section 3.1)."""
    file.seek(offset)
    header = file.read(8)
    if _ZSTD_SKIPPABLE.match(header) and len(header) == 8:
        end = offset + 8 + int.from_bytes(header[4:], "little")
        return end if end <= file.seek(0, io.SEEK_END) else None
    if header[:4] != _ZSTD or len(header) < 5:
        return None
    flags = header[4]
    single_segment = flags >> 5 & 1
    content_size = (single_segment, 2, 4, 8)[flags >> 6]
    at = offset + 5 + (1 - single_segment) + (0, 1, 2, 4)[flags & 3] + content_size
    last = False
    while not last:
        file.seek(at)
        block = file.read(3)
        if len(block) < 3:
            return None
        word = int.from_bytes(block, "little")
        last, kind, length = bool(word & 1), word >> 1 & 3, word >> 3
        if kind == 3:  # reserved: not a block
            return None
        at += 3 + (1 if kind == 1 else length)
    at += 4 * (flags >> 2 & 1)
    return at if at <= file.seek(0, io.SEEK_END) else None


class _Part(io.RawIOBase):
    """The bytes of a file from ``start`` to ``end``, as a file of its own."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file, self._start, self._end, self._at = file, start, end, start

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._at
        self._file.seek(self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._at, io.SEEK_END: self._end}[whence]
        self._at = min(max(base + offset, self._start), self._end)
        return self.tell()

    def tell(self) -> int:
        return self._at - self._start


def _dictionary(file: BinaryIO) -> bytes | None:
    """The dictionary in the first frame of a .warc.zst, which may itself be compressed; None where there is none."""
    file.seek(0)
    header = file.read(8)
    if header[:4] != _ZSTD_DICTIONARY:
        return None
    content = file.read(min(int.from_bytes(header[4:], "little"), _FREE))
    if content.startswith(_ZSTD):
        try:
            return ZstdReader(io.BytesIO(content)).read(_FREE) or None
        except OSError:
            return None
    return content or None


def _next_start(file: BinaryIO, offset: int, magic: bytes, dictionary: bytes | None = None) -> int:
    """Where the next member after ``offset`` begins that opens and holds the start of a record; else the file's end."""
    while True:
        file.seek(offset)
        block = file.read(_SCAN + len(magic) - 1)
        found = block.find(magic)
        while found >= 0:
            if _opens_record(file, offset + found, magic, dictionary):
                return offset + found
            found = block.find(magic, found + 1)
        if len(block) < _SCAN + len(magic) - 1:
            return file.seek(0, io.SEEK_END)
        offset += _SCAN


def _opens_record(file: BinaryIO, offset: int, magic: bytes, dictionary: bytes | None) -> bool:
    file.seek(offset)
    try:
        if magic == _GZIP:
            head = zlib.decompressobj(wbits=31).decompress(file.read(_PROBE), _PROBE)
        else:
            end = _frame_end(file, offset)
            head = ZstdReader(_Part(file, offset, end), dictionary=dictionary).read(_PROBE) if end else b""
    except (_DAMAGED, OSError):
        return False
    return RECORD_START.match(head) is not None
