"""The pages of a MediaWiki dump (pages-articles.xml), cut into pieces that are read on their own.

Format: https://www.mediawiki.org/wiki/Help:Export. A multistream dump is a row of bz2 streams of 100 pages each, and is
cut between them; any other is read in one piece.
"""

import bz2
import gzip
import io
import mmap
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast
from xml.parsers import expat

import zstandard

from stages.core.errors import HeadwaterError

NAMES = re.compile(r".*\.xml(\.bz2|\.gz|\.zst)?", re.IGNORECASE | re.DOTALL)
"""Files that count as dumps where a folder is named."""

_STREAM = re.compile(rb"BZh[1-9]1AY&SY")  # how a bz2 stream begins, with its first block
_READ = 64 << 10
_MAX_DEPTH = 8  # a dump has 5
_MAX_TAG = 1 << 20  # bytes that the parser may hold back
_MAX_TEXT = 16 << 20  # characters of a page; MediaWiki's limit is 2 MiB


@dataclass(frozen=True)
class Piece:
    """A stretch of a dump, in bytes of the file."""

    path: Path
    start: int
    end: int
    """0 where it reaches to the end."""


@dataclass
class Page:
    """The newest revision that the dump has of a page."""

    title: str = ""
    namespace: str = ""
    is_redirect: bool = False
    timestamp: str = ""
    model: str = ""
    text: str = ""
    too_large: bool = False


@dataclass
class Site:
    """What the head of a dump says of the wiki."""

    base: str = ""
    """URL of its main page."""
    name: str = ""
    """Such as simplewiki."""
    namespaces: dict[str, str] = field(default_factory=dict)
    """Number to name."""


def pieces(path: Path, size: int) -> list[Piece]:
    """A dump cut into pieces of about ``size`` compressed bytes where it is multistream, else the whole of it."""
    with path.open("rb") as file:
        if not _STREAM.match(file.read(10)):
            return [Piece(path, 0, 0)]
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            starts = [found.start() for found in _STREAM.finditer(data)]
            cuts = [0]
            for start in starts[1:]:
                if start - cuts[-1] >= size:
                    # Programs that compress in parallel also make many streams, but cut pages.
                    head = bz2.BZ2Decompressor().decompress(data[start : start + (1 << 20)], 4096)
                    if not head.lstrip().startswith(b"<page>"):
                        return [Piece(path, 0, 0)]
                    cuts.append(start)
            return [Piece(path, start, end) for start, end in zip(cuts, [*cuts[1:], 0], strict=True)]


def site(path: Path) -> Site:
    """What the head of a dump says of the wiki.

    Raises:
        HeadwaterError: it is no dump.
    """
    reader = _Reader(path, 0)
    for _ in _parsed(reader, Piece(path, 0, 0)):
        break
    return reader.site


def pages(piece: Piece) -> Iterator[Page]:
    """The pages of a piece, in order.

    Raises:
        HeadwaterError: it is no XML, has a DOCTYPE, is damaged or ends early.
    """
    yield from _parsed(_Reader(piece.path, piece.start), piece)


def _parsed(reader: "_Reader", piece: Piece) -> Iterator[Page]:
    try:
        with piece.path.open("rb") as raw:
            raw.seek(piece.start)
            # What is read is bounded, what comes out of it is not kept: a bomb costs time, not memory.
            with _opened(raw, piece.end) as file:
                while data := file.read(_READ):
                    reader.feed(data)
                    yield from reader.taken()
        reader.end(is_last=piece.end == 0)
        yield from reader.taken()
    except (expat.ExpatError, LookupError) as error:  # an encoding that is unknown is the latter
        raise HeadwaterError(f"{piece.path}: no XML dump of a wiki: {error}") from None
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise HeadwaterError(f"{piece.path}: damaged or cut off: {error}; download it again") from None


def _opened(raw: BinaryIO, end: int) -> BinaryIO:
    start = raw.tell()
    magic = raw.read(4)
    raw.seek(start)
    if magic.startswith(b"BZh"):
        return cast(BinaryIO, bz2.BZ2File(_Part(raw, end) if end else raw))
    if magic.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if magic == b"\x28\xb5\x2f\xfd":
        return cast(BinaryIO, zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, raw)))


class _Part(io.RawIOBase):
    """A file from where it stands to ``end``."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self._file, self._end = file, end

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._file.tell()
        return self._file.read(left if size < 0 else min(size, left))


class _Reader:
    """Takes XML in stretches and gives pages; nothing in it grows with the dump."""

    def __init__(self, path: Path, start: int) -> None:
        self.site = Site()
        self._path = path
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._stack: list[str] = []
        self._fed = 0
        self._page: Page | None = None
        self._pages: list[Page] = []
        self._characters_of: list[str] | None = None
        self._length = 0
        self._namespace = ""
        if start:  # a piece from the middle of a dump
            self.feed(b"<mediawiki>")

    def feed(self, data: bytes) -> None:
        self._fed += len(data)
        self._parser.Parse(data)
        if self._fed - max(self._parser.CurrentByteIndex, 0) > _MAX_TAG + len(data):
            raise HeadwaterError(f"{self._path}: a tag of more than {_MAX_TAG:,} bytes")

    def taken(self) -> list[Page]:
        """The pages that are complete, once."""
        pages, self._pages = self._pages, []
        return pages

    def end(self, *, is_last: bool) -> None:
        """Nothing comes any more. Raises a HeadwaterError if something should."""
        if is_last:
            try:
                self._parser.Parse(b"", True)
            except expat.ExpatError as error:
                if not self._stack:
                    raise
                raise HeadwaterError(f"{self._path}: cut off: {error}; download it again") from None
        elif len(self._stack) != 1:
            raise HeadwaterError(f"{self._path}: a page is cut off; download it again")

    def _doctype(self, *_: object) -> None:
        raise HeadwaterError(f"{self._path}: it has a DOCTYPE, which no dump of a wiki has; it may be a bomb")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._stack and name != "mediawiki":
            raise HeadwaterError(f"{self._path}: no dump of a wiki: it begins with <{name[:40]}>, not <mediawiki>")
        self._stack.append(name)
        if len(self._stack) > _MAX_DEPTH:
            raise HeadwaterError(f"{self._path}: elements lie {_MAX_DEPTH} deep, which they do in no dump of a wiki")
        if name == "page":
            self._page = Page()
        elif name == "redirect" and self._page is not None:
            self._page.is_redirect = True
        self._namespace = attributes.get("key", "") if name == "namespace" else self._namespace
        self._characters_of, self._length = [], 0

    def _characters(self, text: str) -> None:
        self._length += len(text)
        if self._characters_of is not None and self._length <= _MAX_TEXT:
            self._characters_of.append(text)

    def _end(self, name: str) -> None:
        self._stack.pop()
        text = "".join(self._characters_of or ())
        page = self._page
        if name == "page" and page is not None:
            self._pages.append(page)
            self._page = None
        elif page is not None:
            self._of_page(page, name, text)
        elif name == "base":
            self.site.base = text
        elif name == "dbname":
            self.site.name = text
        elif name == "namespace" and len(self.site.namespaces) < 1000:
            self.site.namespaces[self._namespace] = text
        self._characters_of = None

    def _of_page(self, page: Page, name: str, text: str) -> None:
        if name == "title":
            page.title = text
        elif name == "ns":
            page.namespace = text
        elif name == "timestamp":
            page.timestamp = text
        elif name == "model":
            page.model = text
        elif name == "text":
            page.too_large = self._length > _MAX_TEXT
            page.text = "" if page.too_large else text
