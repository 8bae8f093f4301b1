import gzip
import io
import zlib

import pytest
from fastwarc.stream_io import BrotliWriter, ZstdWriter

from stages.web.records import http
from stages.web.records.warc import Record
from tests import warcs

MAX = 1 << 20
PAGE = warcs.html(1)


def record(message: bytes, kind: str = "response", **headers: str) -> Record:
    return Record(0, kind, "http://example.org/", warcs.DATE, headers, message)


def message(body: bytes, *headers: str, status: str = "200 OK", media_type: str = "text/html") -> Record:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {media_type}", *headers]
    return record("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def packed(writer: type, body: bytes) -> bytes:
    target = io.BytesIO()
    encoder = writer(target)
    encoder.write(body)
    encoder.close()
    return target.getvalue()


def chunked(body: bytes, size: int = 50) -> bytes:
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x;name=value\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(PAGE)),
        ("gzip", gzip.compress(PAGE[:9]) + gzip.compress(b"") + gzip.compress(PAGE[9:])),  # sent as it was made
        ("gzip", gzip.compress(PAGE) + b"more"),
        ("deflate", zlib.compress(PAGE)),
        ("deflate", zlib.compress(PAGE)[2:-4]),
        ("br", packed(BrotliWriter, PAGE)),
        ("zstd", packed(ZstdWriter, PAGE)),
        ("gzip, br", packed(BrotliWriter, gzip.compress(PAGE))),
        ("gzip", PAGE),  # decoded by the crawler, which left the header
        ("br", PAGE),
    ],
)
def test_encodings_are_undone(encoding: str, body: bytes) -> None:
    for sent, extra in ((body, ()), (chunked(body), ("Transfer-Encoding: chunked",))):
        page = http.page(message(sent, f"Content-Encoding: {encoding}", *extra), MAX)
        assert isinstance(page, http.Page)
        assert page.body == PAGE


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_refused_at_the_cap(encoding: str) -> None:
    zeros = b"\0" * (64 << 20)
    body = {
        "gzip": lambda: gzip.compress(zeros, 9),
        "deflate": lambda: zlib.compress(zeros, 9),
        "br": lambda: packed(BrotliWriter, zeros),
        "zstd": lambda: packed(ZstdWriter, zeros),
    }[encoding]()
    assert http.page(message(body, f"Content-Encoding: {encoding}"), MAX) == "too_large"


def test_members_are_decoded_to_the_cap_together_and_a_hundred_at_most() -> None:
    halves = 2 * gzip.compress(bytes(MAX // 2 + 1))
    assert http.page(message(halves, "Content-Encoding: gzip"), MAX) == "too_large"
    page = http.page(message(10_000 * gzip.compress(b"<p>a</p>"), "Content-Encoding: gzip"), MAX)
    assert isinstance(page, http.Page)
    assert page.body == 100 * b"<p>a</p>"


@pytest.mark.parametrize(
    ("captured", "reason"),
    [
        (message(PAGE, status="404 Not Found"), "status"),
        (message(PAGE, status="301 Moved"), "status"),
        (message(b"\x89PNG", media_type="image/png"), "not_html"),
        (message(b"%PDF-1.4", media_type=""), "not_html"),
        (message(b"\x89PNG\r\n\x1a\n", media_type="text/html"), "not_html"),
        (message(b"  \n"), "no_text"),
        (message(b"\x1f\x8bgarbage", "Content-Encoding: gzip"), "undecodable"),
        (message(b"garbage", "Content-Encoding: rot13"), "undecodable"),
        (message(b"garbage", "Content-Encoding: gzip,gzip,gzip,gzip"), "undecodable"),
        (record(b""), "not_a_page"),
        (record(b"HTTP/1.1 200 OK"), "not_a_page"),
        (record(b"\0\1\2", "resource", **{"content-type": "image/png"}), "not_html"),
    ],
)
def test_what_is_no_page_has_a_reason(captured: Record, reason: str) -> None:
    assert http.page(captured, MAX) == reason


def test_headers_parted_by_line_feeds_alone_are_read() -> None:
    page = http.page(record(b"HTTP/1.0 200 OK\nContent-Type: text/html; charset=koi8-r\n\n" + PAGE), MAX)
    assert isinstance(page, http.Page)
    assert (page.charset, page.body) == ("koi8-r", PAGE)


def test_a_text_record_is_taken_as_text() -> None:
    page = http.page(record("Früh am Morgen".encode(), "conversion"), MAX)
    assert isinstance(page, http.Page)
    assert not page.is_html
