"""The pages of an archive as documents, whose language is not yet told."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from stages.web import opt_outs
from stages.web.pages import charset, html, markdown
from stages.web.records import http, warc

_PAGE_KINDS = ("response", "resource", "conversion", "unreadable")
_TOGETHER = 4 << 20  # bytes of records that wait to be looked at together
_RECORD = 1000  # bytes that one takes besides
_LEGIBLE = re.compile("[^\\s\ufffd]")  # a null byte in a page becomes U+FFFD


class Bounds(Protocol):
    """What a page may have; the parameters of extract say more."""

    @property
    def max_bytes(self) -> int: ...
    @property
    def max_nodes(self) -> int: ...
    @property
    def max_depth(self) -> int: ...
    @property
    def max_characters(self) -> int: ...
    @property
    def min_expected_f1(self) -> float: ...
    @property
    def opt_outs(self) -> tuple[str, ...]: ...


def documents(bounds: Bounds, source: Path, loss: warc.Loss) -> Iterator[dict[str, Any]]:
    """The document of every page, with the ``reason`` why it is dropped, or ""."""
    waiting: list[tuple[dict[str, Any], html.Page | html.Content | str]] = []
    size = 0
    for record in warc.read(source, bounds.max_bytes, loss):
        if record.kind in _PAGE_KINDS:
            known = {
                "id": record.identity,
                "url": markdown.clean(record.url),
                "date": record.date,
                "source": source.name,
                "offset": record.offset,
            }
            waiting.append((known, _page(bounds, record)))
            size += len(record.body) + _RECORD
            if size > _TOGETHER:
                yield from _told(bounds, waiting)
                waiting, size = [], 0
    yield from _told(bounds, waiting)


def _told(
    bounds: Bounds, waiting: Sequence[tuple[dict[str, Any], html.Page | html.Content | str]]
) -> Iterator[dict[str, Any]]:
    """Documents with what their pages say."""
    pages = [page for _, page in waiting if isinstance(page, html.Page)]
    contents = iter(html.contents(pages, bounds.max_nodes, bounds.max_depth))
    for known, page in waiting:
        content = next(contents) if isinstance(page, html.Page) else page
        if isinstance(content, html.Content) and not _LEGIBLE.search(content.text):
            content = "no_text"
        if isinstance(content, html.Content) and len(content.text) > bounds.max_characters:
            content = "too_long"
        doubtful = isinstance(content, html.Content) and content.expected < bounds.min_expected_f1
        said = html.Content("", "", "") if isinstance(content, str) else content
        reason = content if isinstance(content, str) else "no_main_text" if doubtful else ""
        yield {**known, "title": said.title, "published": said.published, "text": said.text, "reason": reason}


def _page(bounds: Bounds, record: warc.Record) -> html.Page | html.Content | str:
    """The page of a record, what it says if it is no HTML, or the reason why it says nothing."""
    if record.problem:
        return record.problem
    page = http.page(record, bounds.max_bytes)
    if isinstance(page, str):
        return page
    text = charset.decode(page.body, page.charset)
    if page.is_html and (signal := _opted_out(bounds, record, text)):
        return f"opt_out_{signal.replace('-', '_')}"
    if page.is_html:
        return html.Page(text, record.url, record.date)
    return html.Content(markdown.clean(charset.mended(text)), "", "")


def _opted_out(bounds: Bounds, record: warc.Record, text: str) -> str:
    """The signal by which a page is withheld from training, or ""."""
    end = warc.HEADER_END.search(record.body) if record.body[:5] == b"HTTP/" else None
    headers = record.body[: end.start()] if end else b""
    return opt_outs.in_headers(headers, bounds.opt_outs) or opt_outs.in_page(text, bounds.opt_outs)


def recaptured(source: Path, offset: int, identity: str, max_bytes: int) -> dict[str, Any] | None:
    """What a WARC holds of a document, read again; None if the bytes at ``offset`` no longer make that document.

    Args:
        source: The WARC.
        offset: Of the record, as its document says.
        identity: The document's id.
        max_bytes: As the record was read when the document was made of it.
    """
    for record in warc.read_at(source, offset, max_bytes):
        if record.offset != offset:
            break
        if record.identity == identity:
            return {"record": record.kind, "record_bytes": len(record.body), "read_back": True}
    return None
