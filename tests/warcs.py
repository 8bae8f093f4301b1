"""Small archives for the tests: good ones to be damaged."""

import gzip
import io
from pathlib import Path

from fastwarc.stream_io import ZstdWriter

DATE = "2024-05-06T07:08:09Z"


def html(number: int, words: int = 60) -> bytes:
    """A page with a heading and a paragraph of its own."""
    text = " ".join(f"word{number} and the {index}th thing it says" for index in range(words // 6))
    return f"<html><body><main><h1>Page {number}</h1><p>{text}.</p></main></body></html>".encode()


def response(
    body: bytes,
    url: str = "http://example.org/",
    headers: str = "Content-Type: text/html; charset=utf-8\r\n",
    status: str = "200 OK",
) -> bytes:
    """A response record."""
    return record(f"HTTP/1.1 {status}\r\n{headers}\r\n".encode() + body, url=url)


def record(block: bytes, kind: str = "response", url: str = "http://example.org/", version: str = "1.1") -> bytes:
    """Any record."""
    head = (
        f"WARC/{version}\r\nWARC-Type: {kind}\r\n"
        f"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-{len(block):012}>\r\n"
        f"WARC-Target-URI: {url}\r\nWARC-Date: {DATE}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def pages(count: int) -> list[bytes]:
    """Records of ``count`` good pages."""
    return [response(html(number), f"http://example.org/{number}") for number in range(count)]


def gz(records: list[bytes]) -> list[bytes]:
    """Each record as a gzip member."""
    return [gzip.compress(one, mtime=0) for one in records]


def zst(records: list[bytes]) -> list[bytes]:
    """Each record as a zstd frame."""
    frames = []
    for one in records:
        target = io.BytesIO()
        writer = ZstdWriter(target)
        writer.write(one)
        writer.close()
        frames.append(target.getvalue())
    return frames


def flip(data: bytes, at: int) -> bytes:
    """The bytes with some bits of one flipped."""
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


def write(path: Path, data: bytes) -> Path:
    """A file with that content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
