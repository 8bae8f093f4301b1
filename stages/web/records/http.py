"""What a captured response says: its HTTP message taken apart, every layer of encoding undone within a cap."""

import io
import re
import zlib
from dataclasses import dataclass

from fastwarc.stream_io import BrotliReader, ZstdReader

from stages.web.records.warc import HEADER_END, Record, parse_headers

_STATUS = re.compile(rb"HTTP/\d(?:\.\d)? +(\d{3})\b")
_CHUNK = re.compile(rb"\s*([0-9a-fA-F]{1,8})[^\r\n]{0,256}\r?\n")
_HTML = re.compile(rb"<(?:!doctype|html|head|body|title|meta|p|div|h[1-6]|table)\b", re.IGNORECASE)
# How files begin that are no text, whatever they were served as: PDF, PNG, JPEG, GIF, ZIP and Office, gzip.
_BINARY = (b"%PDF-", b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"PK\x03\x04", b"\x1f\x8b\x08")

# More than two layers are seen in attacks only.
_MAX_LAYERS = 3

# Of gzip, each of which a server has packed by itself; what comes after so many is left out.
_MAX_MEMBERS = 100

_GZIP = 31  # as zlib numbers formats


@dataclass(frozen=True)
class Page:
    """A page as it was sent, decoded to the bytes of its text."""

    body: bytes
    charset: str
    """What the Content-Type header says; empty where it says nothing."""
    is_html: bool
    """False for plain text."""


def page(record: Record, max_bytes: int) -> Page | str:
    """The page in a record, or the reason why it has none.

    Reasons: ``not_a_page`` (no HTTP message), ``status`` (not 200), ``not_html`` (other media type), ``too_large``
    (a layer decodes to more than ``max_bytes``), ``undecodable`` (a layer is damaged), ``no_text`` (empty body).
    """
    if record.kind == "conversion":
        return Page(record.body, "utf-8", is_html=False)
    is_message = record.body[:5] == b"HTTP/"
    if record.kind == "resource" and not is_message:
        return _page(record.headers.get("content-type", ""), record.body)
    status = _STATUS.match(record.body)
    if status is None:
        # Some ARC files hold the page alone.
        media_type = record.headers.get("content-type", "")
        return "not_a_page" if is_message or not _HTML.search(record.body[:1024]) else _page(media_type, record.body)
    if status[1] != b"200":
        return "status"
    end = HEADER_END.search(record.body)
    if end is None:
        return "not_a_page"
    headers = parse_headers(record.body[: end.start()])
    media_type = headers.get("content-type", "")
    if not _is_text(media_type):
        return "not_html"
    body = _decode(record.body[end.end() :], headers, max_bytes)
    return body if isinstance(body, str) else _page(media_type, body)


def _is_text(media_type: str) -> bool:
    """Whether a media type is HTML, or is missing and so to be guessed."""
    name = media_type.partition(";")[0].strip().lower()
    return name in ("", "text/html", "application/xhtml+xml", "no-type", "unknown/unknown")


def _page(media_type: str, body: bytes) -> Page | str:
    if not body.strip(b" \t\r\n\f\v\0"):
        return "no_text"
    if not _is_text(media_type) or body.startswith(_BINARY):
        return "not_html"
    if not media_type.lower().startswith(("text/html", "application/xhtml")) and not _HTML.search(body[:4096]):
        return "not_html"
    charset = re.search(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", media_type, re.IGNORECASE)
    return Page(body, charset[1] if charset else "", is_html=True)


def _decode(body: bytes, headers: dict[str, str], max_bytes: int) -> bytes | str:
    """The body without its transfer and content encodings, or the reason why not."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _unchunked(body)
    layers = [layer.strip().lower() for layer in headers.get("content-encoding", "").split(",") if layer.strip()]
    if len(layers) > _MAX_LAYERS:
        return "undecodable"
    for layer in reversed(layers):
        decoded = _undone(layer, body, max_bytes)
        if isinstance(decoded, str):
            # Some crawlers store the page decoded and leave the header as it was.
            return body if _HTML.search(body[:4096]) else decoded
        body = decoded
    return body


def _unchunked(body: bytes) -> bytes:
    """The chunks of a body joined; as it is where it has none, and as far as it goes where one is cut off."""
    found = _CHUNK.match(body)
    if found is None:
        return body
    joined = bytearray()
    while found and (length := int(found[1], 16)):
        joined += body[found.end() : found.end() + length]
        found = _CHUNK.match(body, found.end() + length)
    return bytes(joined)


def _undone(layer: str, body: bytes, max_bytes: int) -> bytes | str:
    if layer == "identity":
        return body
    if layer in ("gzip", "x-gzip"):
        return _inflated(body, (_GZIP,), max_bytes)
    if layer == "deflate":
        return _inflated(body, (15, -15), max_bytes)  # with a zlib header as the RFC says, and without as some do
    readers = {"br": BrotliReader, "zstd": ZstdReader}
    if layer not in readers:
        return "undecodable"
    try:
        decoded: bytes = readers[layer](io.BytesIO(body)).read(max_bytes + 1)
    except OSError:
        return "undecodable"
    return decoded if len(decoded) <= max_bytes else "too_large"


def _inflated(body: bytes, formats: tuple[int, ...], max_bytes: int) -> bytes | str:
    for wbits in formats:
        decoded, rest = bytearray(), body
        for _ in range(_MAX_MEMBERS):
            decoder = zlib.decompressobj(wbits=wbits)
            try:
                decoded += decoder.decompress(rest, max_bytes + 1 - len(decoded))
            except zlib.error:  # behind a whole member it is no other one
                break
            rest = decoder.unused_data
            if len(decoded) > max_bytes or not decoder.eof or not rest or wbits != _GZIP:
                break
        if len(decoded) > max_bytes:
            return "too_large"
        if decoded:  # a body that is cut off is taken as far as it goes
            return bytes(decoded)
    return "undecodable"
