"""A list of dropped documents that the page searches by itself: address, reason, language and how each text begins.

It is bounded: of a large build every reason gives its documents with the smallest ids, a fair draw, in turn until the
list is full. Addresses are in order, each without what it shares with the one before.
"""

import heapq
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from markupsafe import Markup

from stages.core import shards
from stages.core.untrusted import shorten, visible

_URL = 300  # characters of an address that are listed
_COLUMNS = ("id", "url", "language", "stage", "reason", "text")
_ROW = 24  # bytes of a row besides its texts, about
_FEWEST = 100  # bytes that a row takes at least, about: no more documents than that are held in memory


class Index(NamedTuple):
    """For the page."""

    listed: int
    dropped: int
    """Documents in all."""
    reasons: list[tuple[str, str, int]]
    """Stage, reason, and how many documents of it are listed; in order of stages."""
    content: Markup
    """JSON in which no ``<`` stands: ``reasons``, ``languages`` and ``rows`` of characters shared with the address
    before, rest of the address, number of the reason, number of the language, beginning of the text."""


class _Row(NamedTuple):
    url: str
    reason: tuple[str, str]
    language: str
    text: str


def build(folders: Iterable[Path], size: int, characters: int) -> Index:
    """The list of the documents in ``folders``.

    Args:
        folders: Shards of dropped documents, in the order of the stages.
        size: Of the list, in bytes, about.
        characters: Of each text's beginning.
    """
    drawn: dict[tuple[str, str], list[tuple[str, _Row]]] = defaultdict(list)
    most = size // _FEWEST
    total = 0
    for row in _documents(folders, characters):
        total += 1
        key = (row["stage"], row["reason"])
        url = visible(shorten(row["url"], _URL))
        drawn[key].append((row["id"], _Row(url, key, row["language"], row["text"])))
        if len(drawn[key]) > 2 * most:
            drawn[key] = heapq.nsmallest(most, drawn[key])
    rows = sorted(_fitting([sorted(found) for found in drawn.values()], size))
    reasons = list(drawn)
    languages = sorted({row.language for row in rows})
    counts = {key: sum(row.reason == key for row in rows) for key in reasons}
    content = {
        "reasons": [list(map(visible, key)) for key in reasons],
        "languages": list(map(visible, languages)),
        "rows": list(_shared(rows, reasons, languages)),
    }
    listed = [(*key, counts[key]) for key in reasons]
    return Index(len(rows), total, listed, embedded(content))


def embedded(value: Any) -> Markup:
    """JSON that may stand in a ``script`` element: nothing in it ends the element or begins another."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Only within strings can these stand.
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _documents(folders: Iterable[Path], characters: int) -> Iterator[dict[str, Any]]:
    for folder in folders:
        for path in shards.files(folder, "*.parquet"):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(1024, columns=list(_COLUMNS)):
                    for row in batch.to_pylist():
                        text = " ".join(row["text"][: 4 * characters].split())
                        yield row | {"text": visible(shorten(text, characters))}


def _fitting(drawn: list[list[tuple[str, _Row]]], size: int) -> Iterator[_Row]:
    """One document of every reason in turn, until they take ``size`` bytes."""
    room = size
    for turn in itertools.zip_longest(*drawn):
        for _, row in filter(None, turn):
            room -= len(row.url.encode()) // 2 + len(row.text.encode()) + _ROW
            if room < 0:
                return
            yield row


def _shared(rows: list[_Row], reasons: list[tuple[str, str]], languages: list[str]) -> Iterator[list[int | str]]:
    before = ""
    numbers, codes = ({one: at for at, one in enumerate(names)} for names in (reasons, languages))
    for row in rows:
        pairs = enumerate(zip(before, row.url, strict=False))
        same = next((at for at, (one, other) in pairs if one != other), min(len(before), len(row.url)))
        units = len(row.url[:same].encode("utf-16-le")) // 2  # as JavaScript counts
        yield [units, row.url[same:], numbers[row.reason], codes[row.language], row.text]
        before = row.url
