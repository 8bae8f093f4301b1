"""What a crawl has fetched so far: a WARC that is also the crawler's cache, so that a crawl that was killed goes on.

Every response is appended as a member of its own. After a kill, the crawl begins again at its seeds, and all that is
here is answered from here, without the network.
"""

import http
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from stages.web.records import warc
from stages.web.sources import captures

MAX_BYTES = 64 << 20


class Stored(NamedTuple):
    """Where a response is."""

    offset: int
    length: int
    """In bytes of the file."""


class CaptureStore:
    """Responses by URL.

    Args:
        path: A .warc.gz that need not exist; what a kill has left of a record at its end is cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stored: dict[str, Stored] = {}
        path.touch()
        for offset, length in _members(path):
            record = next(warc.read_at(path, offset, MAX_BYTES))
            self.stored[record.url] = Stored(offset, length)
        self._file = path.open("r+b")
        self._file.truncate(sum(end.length for end in self.stored.values()))
        self._file.seek(0, 2)

    def add(self, url: str, status: int, headers: list[tuple[str, str]], body: bytes, address: str) -> None:
        """Append a response, as it came but for chunks, which are joined."""
        if url in self.stored:
            return
        kept = [(name, value) for name, value in headers if name.lower() not in ("transfer-encoding", "content-length")]
        phrase = http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else ""
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in kept)]
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode("utf-8", "surrogateescape")
        fields = {
            "WARC-Type": "response",
            "WARC-Target-URI": url,
            "WARC-Payload-Digest": captures.sha1(body),
            "Content-Type": "application/http;msgtype=response",
        }
        if address:
            fields["WARC-IP-Address"] = address
        date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        member = captures.member(captures.record(fields, date, head + body))
        self.stored[url] = Stored(self._file.tell(), len(member))
        self._file.write(member)
        self._file.flush()

    def record(self, url: str) -> warc.Record | None:
        """The response of a URL, if it is here."""
        place = self.stored.get(url)
        return next(warc.read_at(self.path, place.offset, MAX_BYTES)) if place else None

    def close(self) -> None:
        """Nothing more is added."""
        self._file.close()

    def __enter__(self) -> "CaptureStore":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _members(path: Path) -> Iterator[Stored]:
    """The gzip members of a file that are whole, up to the first that is not."""
    offset = 0
    with path.open("rb") as file:
        while True:
            file.seek(offset)
            decoder = zlib.decompressobj(wbits=31)
            read = 0
            while not decoder.eof and (data := file.read(64 << 10)):
                read += len(data)
                try:
                    decoder.decompress(data)
                except zlib.error:  # as a machine that lost its power leaves a file: zeros at the end
                    return
            if not decoder.eof:
                return
            length = read - len(decoder.unused_data)
            yield Stored(offset, length)
            offset += length
