"""Texts as a source: files with a text in each, or in each row, taken in as WARC records of plain text."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stages.core import shards
from stages.core.fingerprint import file_hash
from stages.core.params import as_json, params
from stages.web.sources import captures, intake, listings, locations, sampling, text_files
from stages.web.sources.source import Collected, Wanted

_MAX_URL = 8192  # characters; a record's head may have 64 kB
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@params
class Text:
    """Files of texts: .txt and .md with one each; .jsonl, .parquet, .csv and what else `datasets` reads with many."""

    paths: tuple[str, ...]
    """Files, folders and globs, absolute or relative to incoming/crawl, and URLs, also hf://datasets/owner/name/…"""
    text_column: str
    """Column that holds the text, in Markdown where it has structure."""
    url_column: str
    """Column that says where a text is from; one without gets http://text.invalid/ and its place in the files."""
    date_column: str
    """Column with an ISO 8601 date; a text without one is dated 1970-01-01."""


def collect(section: Text, wanted: Wanted) -> Collected:
    """The texts of all files, in pieces of about ``shard_mb``; a file that is added costs only itself."""
    located = locations.locate("text", section.paths, text_files.NAMES, wanted)
    found = {path: _name(path, wanted.incoming) for path in located}
    hashes = {path: file_hash(path) for path in found}
    with listings.folder() as lists:
        groups = _groups(section, found, hashes, int(wanted.shard_mb * 1e6))
        units = [listings.unit(lists, name, rows) for name, rows in groups]
        built = shards.build(write, json.loads(as_json(section)), units, label="crawl", count="texts")
    counts = shards.total(one.metrics for one in built)
    if wanted.max_pages and counts.get("out"):
        built = intake.sampled([one.outputs["warc"] for one in built], wanted)
    files = [{"name": found[path], "sha256": digest} for path, digest in hashes.items()]
    return Collected(built, counts.get("in", 0), section.paths, {"files": files}, counts.get("dropped", {}))


def _name(path: Path, incoming: Path) -> str:
    return path.relative_to(incoming).as_posix() if path.is_relative_to(incoming) else path.name


def _groups(
    section: Text, found: Mapping[Path, str], hashes: Mapping[Path, str], size: int
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Name and pieces of each WARC: one piece of a large file, or small files that share one."""
    small = []
    for (path, name), safe in zip(found.items(), intake.names(list(found)), strict=True):
        cut = text_files.pieces(path, section.text_column, size)
        same = {"path": str(path), "name": name, "sha256": hashes[path]}
        rows = [{**same, "start": one.start, "end": one.end} for one in cut]
        file_size = sum(one.size for one in cut)
        if file_size < size / 2:
            small.append((name, file_size, rows))
        else:
            yield from ((f"{safe}-{number:05}", [row]) for number, row in enumerate(rows))
    for rank, shared in sampling.groups(small, size):
        yield f"texts-{rank}", [row for rows in shared for row in rows]


def write(section: dict[str, Any], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Write the texts of a list of pieces to one WARC; rows without text are dropped with their reason."""
    reasons: Counter[str] = Counter()
    listed = json.loads(inputs[0].read_text("utf-8"))

    def texts() -> Iterator[captures.Text]:
        for one in listed:
            piece = text_files.Piece(Path(one["path"]), one["start"], one["end"], 0)
            others = (section["url_column"], section["date_column"])
            for place, row in text_files.rows(piece, section["text_column"], others):
                text = row if isinstance(row, str) else _text(section, row, f"{one['name']}/{place}")
                if isinstance(text, str):
                    reasons[text] += 1
                else:
                    yield text

    count = captures.write(outputs["warc"], texts(), inputs[0].stem)
    return {"in": count + reasons.total(), "out": count, "dropped": dict(sorted(reasons.items()))}


def _text(section: Mapping[str, str], row: Mapping[str, Any], place: str) -> captures.Text | str:
    text = row.get(section["text_column"])
    if not isinstance(text, str) or not text.strip():
        return "no_text"
    url = row.get(section["url_column"])
    if not isinstance(url, str) or not url.startswith(("http://", "https://")) or len(url) > _MAX_URL:
        url = f"http://text.invalid/{quote(place, errors='surrogateescape')}"
    url = re.sub(r"\s", "%20", url).encode("utf-8", "replace").decode()
    return captures.Text(url, _date(row.get(section["date_column"])), text)


def _date(value: object) -> str:
    """A date as WARC has it, in UTC; ``UNKNOWN_DATE`` for what is none."""
    text = value.isoformat() if isinstance(value, date) else value if isinstance(value, str) else ""
    try:
        moment = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
        moment = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        found = _DAY.match(text)  # of another form behind it
        return _date(found[0]) if found and found[0] != text else captures.UNKNOWN_DATE
    return moment.isoformat(timespec="seconds") + "Z"
