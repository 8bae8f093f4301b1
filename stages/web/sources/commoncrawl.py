"""Common Crawl as a source: whole files of a snapshot by its listing, or captures of single URLs by its URL index.

Layout: https://commoncrawl.org/get-started; the index speaks the CDX server's JSON,
https://github.com/webrecorder/pywb/wiki/CDX-Server-API.
"""

import bisect
import gzip
import hashlib
import io
import itertools
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import NonNegativeInt

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.params import as_json, nearest, params
from stages.core.progress import meter
from stages.web.records import warc
from stages.web.sources import captures, intake, sampling
from stages.web.sources.addresses import networks
from stages.web.sources.download import MissingFileError, Web
from stages.web.sources.source import Collected, Wanted

T = TypeVar("T")

_SNAPSHOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PATH = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._/=-]*")
_MAX_LISTING = 256 << 20  # bytes; the listing of a snapshot has 90,000 lines of 140
_MAX_CAPTURE = 64 << 20
_COLUMNS = ("url", "timestamp", "status", "mime-detected", "mime", "digest")  # of the index, beside the place
_GZIP = b"\x1f\x8b"  # how its files begin
_CONNECTIONS = 4  # Common Crawl answers 503 to those who open many


@params
class CommonCrawl:
    """Files of a snapshot, or captures of URLs in it."""

    base: str
    """Where crawl-data/ is."""
    index: str
    """Where the URL index and collinfo.json are."""
    snapshot: str
    """Such as CC-MAIN-2025-33."""
    kind: Literal["warc", "wet"]
    """Whole pages, or the text that Common Crawl has taken out of them."""
    files: NonNegativeInt
    """Files to take of the snapshot's thousands, 0 for all: a sample by seed, so that more files hold the fewer."""
    urls: tuple[str, ...]
    """URLs whose captures are taken, not whole files; `example.org/*` for those below, `*.example.org` for a domain."""


def collect(section: CommonCrawl, wanted: Wanted) -> Collected:
    """Files or captures, byte for byte as they were published; ``max_pages`` samples captures before the download."""
    if not _SNAPSHOT.fullmatch(section.snapshot):
        raise HeadwaterError(f"params.yaml: crawl.commoncrawl.snapshot: {section.snapshot!r} is no name of a snapshot")
    web = Web(networks(wanted.allow_private))
    if section.urls:
        return _captures(section, wanted, web)
    listing = _listing(section, web)
    ranked = ((sampling.rank(wanted.seed, path), path) for path in listing)
    chosen = sampling.lowest(ranked, section.files)
    paths = [path for path in listing if path in chosen]
    files = _all(paths, lambda path: _file(_below(section.base) + path, web), "files", web)
    built = intake.take_all(files, wanted, ours=True)
    listed = {"snapshot": section.snapshot, "files": paths}
    return Collected(built, sum(one.metrics["in"] for one in built), (section.snapshot,), listed)


def _file(url: str, web: Web) -> Path:
    """An archive of the snapshot; what is none, such as a page of a proxy, is not kept."""
    path = web.file(url, immutable=True)
    with path.open("rb") as file:
        start = file.read(2)
    if start != _GZIP:
        web.forget(url)
        raise HeadwaterError(f"{url}: what comes is no archive packed with gzip; run again later, or open the URL")
    return path


def _listing(section: CommonCrawl, web: Web) -> list[str]:
    """The paths of a snapshot's files, as published."""
    url = f"{_below(section.base)}crawl-data/{section.snapshot}/{section.kind}.paths.gz"
    try:
        packed = web.file(url).read_bytes()
    except MissingFileError as error:
        known: list[str] = []
        with suppress(HeadwaterError, ValueError, KeyError, TypeError):
            found = json.loads(web.read(_below(section.index) + "collinfo.json", _MAX_LISTING))
            known = [str(one["id"]) for one in found]
        raise HeadwaterError(f"crawl.commoncrawl.snapshot: {error}{nearest(section.snapshot, known)}") from None
    try:
        paths = list(dict.fromkeys(_unpacked(packed, url).decode("ascii").split()))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        paths = []
    wrong = next((path for path in paths if not _PATH.fullmatch(path)), None)
    if not paths or wrong is not None:
        web.forget(url)
        raise HeadwaterError(
            f"{url}: no list of paths packed with gzip" + (f": {wrong[:80]!r}" if wrong else "; run again later")
        )
    return paths


def _unpacked(packed: bytes, url: str) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:  # of as many members as it has
        listing = file.read(_MAX_LISTING + 1)
    if len(listing) > _MAX_LISTING:
        raise HeadwaterError(f"{url}: more than {_MAX_LISTING:,} bytes, which no listing of a snapshot has")
    return listing


def _captures(section: CommonCrawl, wanted: Wanted, web: Web) -> Collected:
    """The captures of the section's URLs, as the index lists them."""
    if section.kind != "warc":
        raise HeadwaterError("crawl.commoncrawl.kind must be warc where crawl.commoncrawl.urls are given")
    found: dict[tuple[str, int], dict[str, Any]] = {}
    dropped = {"status": 0, "not_html": 0, "too_large": 0, "no_page": 0}
    for pattern in section.urls:
        for row in _rows(section, pattern, web):
            reason = _refusal(row)
            if reason:
                dropped[reason] += 1
            else:
                found[row["filename"], row["offset"]] = row
    ranked = ((sampling.rank(wanted.seed, f"{row['url']} {row['timestamp']}"), place) for place, row in found.items())
    chosen = sampling.lowest(ranked, wanted.max_pages)
    rows = sorted((found[place] for place in chosen), key=lambda row: (row["url"], row["timestamp"], row["offset"]))
    things = ((f"{row['filename']} {row['offset']}", row["length"], row) for row in rows)
    # A page is about a quarter of its size in the archive.
    grouped = list(sampling.groups(things, int(wanted.shard_mb * 1e6 / 4)))
    files = _all(grouped, lambda group: _fetched(section, *group, web), "groups of captures", web)
    everything = Wanted(0, wanted.seed, wanted.shard_mb, wanted.allow_private, wanted.incoming)
    built = intake.take_all(files, everything, ours=True)
    seen = len(found) + sum(dropped.values())
    dropped["no_page"] = len(rows) - sum(one.metrics["out"] for one in built)
    return Collected(built, seen, section.urls, {"snapshot": section.snapshot, "captures": len(rows)}, dropped)


def _rows(section: CommonCrawl, pattern: str, web: Web) -> Iterator[dict[str, Any]]:
    """What the index says of a URL pattern."""
    query = f"{_below(section.index)}{section.snapshot}-index?url={quote(pattern, safe='')}&output=json"
    try:
        pages = json.loads(web.read(query + "&showNumPages=true", _MAX_LISTING))["pages"]
        with meter("crawl-index", pages, "pages of the index") as progress:
            for page in range(pages):
                for line in web.read(f"{query}&page={page}", _MAX_LISTING).splitlines():
                    if line.strip():
                        yield _row(json.loads(line))
                progress.advance(1)
    except MissingFileError:
        raise HeadwaterError(
            f"crawl.commoncrawl.urls: no captures of {pattern} in {section.snapshot}, or no such snapshot"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        said = " ".join(repr(error).split())[:200]
        raise HeadwaterError(f"{query}: not what a CDX server answers: {said}; run again later") from None


def _row(said: Any) -> dict[str, Any]:
    if isinstance(said, dict) and said.keys() == {"message"}:  # as some servers say that there is nothing
        raise MissingFileError(str(said["message"]))
    if not isinstance(said, dict) or not _PATH.fullmatch(str(said["filename"])):
        raise ValueError(said)
    row: dict[str, Any] = {name: str(said.get(name, "")) for name in _COLUMNS}
    offset, length = int(said["offset"]), int(said["length"])
    if offset < 0 or length <= 0:
        raise ValueError(said)
    # One string for all rows of an archive: an index may name millions.
    return {**row, "filename": sys.intern(said["filename"]), "offset": offset, "length": length}


def _refusal(row: dict[str, Any]) -> str:
    """Why a capture is not worth its download, or ""."""
    if row["status"] != "200":
        return "status"
    if "html" not in (row["mime-detected"] or row["mime"]):
        return "not_html"
    return "too_large" if row["length"] > _MAX_CAPTURE else ""


def _fetched(section: CommonCrawl, name: str, rows: list[dict[str, Any]], web: Web) -> Path:
    """An archive of the captures of a group; what an earlier run has fetched of it is taken as it is."""
    key = hashlib.blake2b(as_json([section.base, rows]).encode(), digest_size=16).hexdigest()
    target = shards.area("crawl-downloads", key) / f"{section.snapshot}-{name}.warc.gz"
    if target.exists():
        return target
    partial = target.with_name("partial")
    ends = list(itertools.accumulate((row["length"] for row in rows), initial=0))
    there = partial.stat().st_size if partial.exists() else 0
    done = bisect.bisect_right(ends, there) - 1  # records that are whole; a stop may have cut the one behind
    with partial.open("ab") as file:
        file.truncate(ends[done])
        records = 0
        for row in rows[done:]:
            member = _capture(section, row, web)
            records += _is_as_said(member, "")
            file.write(member)
    if rows[done:] and not records:
        partial.unlink()
        raise HeadwaterError(
            f"{_below(section.base)}{rows[-1]['filename']}: nothing that came of it is a record, "
            f"where the index has {len(rows[done:])}; run again later"
        )
    shards.replace(partial, target)
    return target


def _capture(section: CommonCrawl, row: dict[str, Any], web: Web) -> bytes:
    """The record of a capture; once more where it is not what the index says. What it then is, extract shall judge."""
    url = _below(section.base) + row["filename"]
    data = web.part(url, row["offset"], row["length"])
    return data if _is_as_said(data, row["digest"]) else web.part(url, row["offset"], row["length"])


def _is_as_said(member: bytes, digest: str) -> bool:
    """Whether a gzip member is one whole record, with the payload digest that the index has for it."""
    decoder = zlib.decompressobj(wbits=31)
    try:
        record = decoder.decompress(member, 4 * _MAX_CAPTURE)
    except zlib.error:
        return False
    head, _, rest = record.partition(b"\r\n\r\n")
    headers = warc.parse_headers(head)
    length = headers.get("content-length", "")
    block = rest[: int(length)] if length.isdigit() else b""
    stated = headers.get("warc-block-digest", "")
    payload = headers.get("warc-payload-digest", "").removeprefix("sha1:")
    return (
        decoder.eof
        and not decoder.unused_data
        and (not digest or payload == digest)
        and (not stated.startswith("sha1:") or stated == captures.sha1(block))
    )


def _all(things: Sequence[T], fetch: Callable[[T], Path], unit: str, web: Web) -> list[Path]:
    """What ``fetch`` gives for each, some at the same time; where one fails, or the user stops it, all end."""
    with meter("crawl", len(things), unit) as progress, ThreadPoolExecutor(_CONNECTIONS) as pool:

        def one(thing: T) -> Path:
            path = fetch(thing)
            progress.advance(1)
            return path

        futures = [pool.submit(one, thing) for thing in things]
        try:
            for future in as_completed(futures):
                future.result()
            return [future.result() for future in futures]
        except BaseException:
            web.end()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _below(url: str) -> str:
    return url.rstrip("/") + "/"
