"""WARC files written from pages at hand: response records, as a crawler would have stored them, the same every time.

Format: https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/.
"""

import base64
import hashlib
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Any fixed UUID serves; this one is the URL namespace of RFC 9562 applied to the name.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "headwater/captures")

_SOFTWARE = "Headwater"


@dataclass(frozen=True)
class Capture:
    """A page at hand."""

    url: str
    date: str
    """ISO 8601, UTC: when the page was last changed, for want of a date of capture."""
    body: bytes
    encoding: str
    """Content-Encoding of the body, or ""."""


def write(path: Path, captures: Iterator[Capture], description: str) -> int:
    """Write a .warc.gz with a warcinfo record and one response for each capture; how many those were."""
    count = 0
    with path.open("wb") as file:
        info = f"software: {_SOFTWARE}\r\nformat: WARC File Format 1.1\r\ndescription: {description}\r\n".encode()
        file.write(member(_warcinfo(path.name, info)))
        for capture in captures:
            file.write(member(_response(capture)))
            count += 1
    return count


def _warcinfo(name: str, block: bytes) -> bytes:
    fields = {"WARC-Type": "warcinfo", "WARC-Filename": name, "Content-Type": "application/warc-fields"}
    return _record(fields, "1970-01-01T00:00:00Z", block)


def _response(capture: Capture) -> bytes:
    encoding = f"Content-Encoding: {capture.encoding}\r\n" if capture.encoding else ""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{encoding}Content-Length: {len(capture.body)}\r\n\r\n"
    fields = {
        "WARC-Type": "response",
        "WARC-Target-URI": capture.url,
        "WARC-Payload-Digest": _digest(capture.body),
        "Content-Type": "application/http;msgtype=response",
    }
    return _record(fields, capture.date, head.encode() + capture.body)


def _record(fields: dict[str, str], date: str, block: bytes) -> bytes:
    fields = {**fields, "WARC-Date": date, "WARC-Block-Digest": _digest(block), "Content-Length": str(len(block))}
    # The same page at the same place always has the same identifier; another never has.
    identifier = uuid.uuid5(_NAMESPACE, "\n".join(f"{name}: {value}" for name, value in sorted(fields.items())))
    lines = ["WARC/1.1", f"WARC-Record-ID: <urn:uuid:{identifier}>", *(f"{k}: {v}" for k, v in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def _digest(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def member(record: bytes) -> bytes:
    """One gzip member; zlib's own header carries no time and no name."""
    encoder = zlib.compressobj(4, wbits=31)
    return encoder.compress(record) + encoder.flush()
