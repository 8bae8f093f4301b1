"""Archives that others made: found by path, glob or URL, taken in byte for byte, or only the pages that are sampled."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import fsspec

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.progress import log
from stages.web import http, sampling, warc
from stages.web.captures import member

_ARCHIVE = re.compile(r".*\.w?arc(\.wet)?(\.gz|\.zst)?|.*\.wet(\.gz|\.zst)?", re.IGNORECASE | re.DOTALL)

# Records are looked at only to count pages and sample them; what is too large is left for `extract` to refuse.
_MAX_BYTES = 64 << 20


def locate(paths: Sequence[str], incoming: Path, area: Path) -> list[Path]:
    """The archives that ``paths`` name, in order, each once; those behind URLs are copied to ``area``.

    Args:
        paths: Files, folders and globs, absolute or relative to ``incoming``, and URLs that fsspec understands.
        incoming: The folder that DVC watches.
        area: A folder for copies.

    Raises:
        HeadwaterError: one of them names nothing, or cannot be read.
    """
    found: list[Path] = []
    for path in paths:
        here = _remote(path, area) if "://" in path else _local(path, incoming)
        if not here and path not in (".", "**"):
            raise HeadwaterError(f"crawl.warc.paths: nothing at {path} (looked in {incoming.resolve()})")
        if any(not one.resolve().is_relative_to(incoming.resolve()) for one in here):
            log(f"{path} lies outside {incoming}: DVC does not watch it; `dvc repro -f crawl` takes it in again")
        found += [one for one in here if one not in found]
    return found


def _local(path: str, incoming: Path) -> list[Path]:
    root, pattern = (Path("/"), path.lstrip("/")) if path.startswith("/") else (incoming, path)
    matches = [root / pattern] if (root / pattern).exists() else sorted(root.glob(pattern))
    found: list[Path] = []
    for match in matches:
        if match.is_dir():
            found += [one for one in sorted(match.rglob("*")) if one.is_file() and _ARCHIVE.fullmatch(one.name)]
        elif match.name != "README.md":
            found.append(match)
    return found


def _remote(url: str, area: Path) -> list[Path]:
    try:
        system, _, names = fsspec.get_fs_token_paths(url)
        found = []
        for name in sorted(names):
            target = area / _safe(name.rpartition("/")[2])
            with system.open(name, "rb") as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
            found.append(target)
    except ImportError as error:
        raise HeadwaterError(f"{url}: fsspec needs another package for this: {error}") from None
    except (OSError, ValueError) as error:
        raise HeadwaterError(f"{url}: could not be read: {error}") from None
    return found


def names(paths: Sequence[Path]) -> list[str]:
    """A file name for each path, safe and unique; a second a.warc.gz becomes a-2.warc.gz."""
    given: list[str] = []
    for path in paths:
        stem, dot, suffix = _safe(path.name).partition(".")
        name, number = stem + dot + suffix, 2
        while name in given:
            name, number = f"{stem}-{number}{dot}{suffix}", number + 1
        given.append(name)
    return given


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".-") or "archive"


def take(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Copy an archive as it is, and count its pages. Never a link: what DVC stores becomes read-only."""
    shutil.copyfile(inputs[0], outputs["warc"])
    loss = warc.Loss()
    count = sum(_is_page(record) for record in warc.read(inputs[0], _MAX_BYTES, loss))
    return {"in": count, "out": count, "lost": loss.counts}


def index(seed: int, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Write the rank of every page of an archive, with the number of its record, as JSON."""
    records = warc.read(inputs[0], _MAX_BYTES, warc.Loss())
    ranks = [
        (sampling.rank(seed, f"{record.url} {record.date}"), number)
        for number, record in enumerate(records)
        if _is_page(record)
    ]
    outputs["index"].write_text(json.dumps(ranks), "utf-8")
    return {"in": len(ranks), "out": len(ranks)}


def sample(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Write the records of an archive (first input) whose numbers are in a JSON list (second) to a new one."""
    chosen = set(json.loads(inputs[1].read_text("utf-8")))
    loss = warc.Loss()
    found = 0
    with outputs["warc"].open("wb") as file:
        for number, record in enumerate(warc.read(inputs[0], _MAX_BYTES, loss)):
            found += _is_page(record)
            if number in chosen:
                file.write(member(_rewritten(record)))
    return {"in": found, "out": len(chosen), "dropped": {"not_sampled": found - len(chosen)}, "lost": loss.counts}


def _is_page(record: warc.Record) -> bool:
    return (
        record.kind in ("response", "resource", "conversion")
        and not record.problem
        and not isinstance(http.page(record, _MAX_BYTES), str)
    )


def _rewritten(record: warc.Record) -> bytes:
    """The record again, with its own headers; one from an ARC as WARC."""
    headers = record.headers
    if "warc-type" not in headers:
        headers = {"warc-type": "response", "warc-target-uri": record.url, "warc-date": record.date}
        headers["content-type"] = "application/http" if record.body[:5] == b"HTTP/" else record.headers["content-type"]
        if headers["content-type"] != "application/http":
            headers["warc-type"] = "resource"
    headers = {**headers, "content-length": str(len(record.body))}
    lines = ["WARC/1.1", *(f"{_spelt(name)}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + record.body + b"\r\n\r\n"


def _spelt(name: str) -> str:
    """A header name as the standard spells it; some readers mind, though they should not."""
    capitals = {"warc": "WARC", "uri": "URI", "id": "ID", "ip": "IP"}
    return "-".join(capitals.get(part, part.capitalize()) for part in name.split("-"))
