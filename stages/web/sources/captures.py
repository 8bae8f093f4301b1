"""WARC files written from pages and texts at hand, as a crawler would have stored them, the same every time.

Format: https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/.
"""

import base64
import hashlib
import re
import uuid
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# Any fixed UUID serves; this one is the URL namespace of RFC 9562 applied to the name.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "headwater/captures")

_SOFTWARE = "Headwater"

_DIGESTS = ("sha1", "sha256", "sha512", "md5")

# What would end a header line, and so begin another that the page's owner could choose.
_ENDS_LINE = re.compile(r"[\x00-\x1f\x7f]+")


UNKNOWN_DATE = "1970-01-01T00:00:00Z"
"""The date of what has none: a WARC record must have one, and that of today would differ tomorrow."""


@dataclass(frozen=True)
class Response:
    """A page at hand, as a server would send it."""

    url: str
    date: str
    """ISO 8601, UTC: when the page was last changed, for want of a date of capture."""
    body: bytes
    encoding: str
    """Content-Encoding of the body, or ""."""


@dataclass(frozen=True)
class Text:
    """A text at hand, in Markdown: headings are lines that begin with ``#``."""

    url: str
    date: str
    """ISO 8601, UTC, or ``UNKNOWN_DATE``."""
    text: str


def write(path: Path, captures: Iterable[Response | Text], description: str) -> int:
    """Write a .warc.gz with a warcinfo record, then a record for each capture; how many those were."""
    count = 0
    with path.open("wb") as file:
        info = f"software: {_SOFTWARE}\r\nformat: WARC File Format 1.1\r\ndescription: {description}\r\n".encode()
        file.write(member(_warcinfo(path.name, info)))
        for capture in captures:
            file.write(member(_response(capture) if isinstance(capture, Response) else _conversion(capture)))
            count += 1
    return count


def _warcinfo(name: str, block: bytes) -> bytes:
    fields = {"WARC-Type": "warcinfo", "WARC-Filename": name, "Content-Type": "application/warc-fields"}
    return record(fields, UNKNOWN_DATE, block)


def _response(capture: Response) -> bytes:
    encoding = f"Content-Encoding: {capture.encoding}\r\n" if capture.encoding else ""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{encoding}Content-Length: {len(capture.body)}\r\n\r\n"
    fields = {
        "WARC-Type": "response",
        "WARC-Target-URI": capture.url,
        "WARC-Payload-Digest": sha1(capture.body),
        "Content-Type": "application/http;msgtype=response",
    }
    return record(fields, capture.date, head.encode() + capture.body)


def _conversion(capture: Text) -> bytes:
    fields = {
        "WARC-Type": "conversion",
        "WARC-Target-URI": capture.url,
        "Content-Type": "text/plain; charset=utf-8",
    }
    return record(fields, capture.date, capture.text.encode("utf-8", "replace"))


def record(fields: dict[str, str], date: str, block: bytes) -> bytes:
    """A WARC record with its digest and an identifier that is the same for the same content."""
    fields = {**fields, "WARC-Date": date, "WARC-Block-Digest": sha1(block), "Content-Length": str(len(block))}
    # The same page at the same place always has the same identifier; another never has.
    identifier = uuid.uuid5(_NAMESPACE, "\n".join(f"{name}: {value}" for name, value in sorted(fields.items())))
    lines = ["WARC/1.1", f"WARC-Record-ID: <urn:uuid:{identifier}>", *(f"{k}: {v}" for k, v in fields.items())]
    head = "\r\n".join(_ENDS_LINE.sub("", line) for line in lines)
    return head.encode("utf-8", "replace") + b"\r\n\r\n" + block + b"\r\n\r\n"


def sha1(data: bytes) -> str:
    """A digest as WARC headers have it: ``sha1:`` and base 32."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def member(record: bytes) -> bytes:
    """One gzip member; zlib's own header carries no time and no name."""
    encoder = zlib.compressobj(4, wbits=31)
    return encoder.compress(record) + encoder.flush()


def agrees(stated: str, data: bytes) -> bool | None:
    """Whether a digest as WARC headers state it, in base 32 or 16, is that of ``data``; None if its kind is unknown."""
    kind, _, value = stated.partition(":")
    kind = kind.lower().replace("-", "")
    if kind not in _DIGESTS:
        return None
    digest = hashlib.new(kind, data, usedforsecurity=False).digest()
    return value.strip().upper().rstrip("=") in (base64.b32encode(digest).decode().rstrip("="), digest.hex().upper())
