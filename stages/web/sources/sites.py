"""Trees of HTML files as web sites, written to WARC files of about equal size so that later stages work in parallel."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from stages.core import shards
from stages.core.fingerprint import file_hash
from stages.web.sources import captures, listings, locations, sampling
from stages.web.sources.source import Wanted

# page.html, page.htm, page.xhtml; with a language as content negotiation has it: page.html.en, page.en.html;
# stored compressed: page.html.gz.
_PAGE = re.compile(r".*\.x?html?(\.[a-z]{2}([_-][a-z]+)?)?(\.gz)?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Site:
    """A tree of files that is served at ``base``."""

    root: Path
    base: str
    """URL of the root, ending in a slash."""


@dataclass(frozen=True)
class File:
    """A page in a tree."""

    url: str
    path: Path
    """Of the file itself, behind any symbolic link."""

    @property
    def size(self) -> int:
        """In bytes."""
        return self.path.stat().st_size


def build(sites: Mapping[str, Site], wanted: Wanted) -> tuple[list[shards.Built], int]:
    """The WARCs of all sites, named for their site, and how many pages there were before sampling."""
    found = {name: list(files(site)) for name, site in sites.items()}
    ranked = ((sampling.rank(wanted.seed, file.url), file.url) for pages in found.values() for file in pages)
    chosen = sampling.lowest(ranked, wanted.max_pages)
    with listings.folder() as lists:
        units = []
        for name, pages in found.items():
            sampled = [file for file in pages if file.url in chosen]
            for number, group in enumerate(_groups(sampled, wanted.shard_mb * 1e6)):
                rows = [{"url": file.url, "path": str(file.path), "sha256": file_hash(file.path)} for file in group]
                units.append(listings.unit(lists, f"{name}-{number:05}", rows))
        return shards.build(write, None, units, label="crawl", count="pages"), sum(map(len, found.values()))


def write(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Write the pages of a list to one WARC."""
    rows = json.loads(inputs[0].read_text("utf-8"))
    pages = (_capture(File(row["url"], Path(row["path"]))) for row in rows)
    count = captures.write(outputs["warc"], pages, inputs[0].stem)
    return {"in": count, "out": count}


def files(site: Site) -> Iterator[File]:
    """The pages of a site, sorted by path; those behind links count as pages of their own, as a server serves them.

    Links that lead out of the tree are not followed.
    """
    root = site.root.resolve()
    for folder, folders, names in os.walk(root, onerror=locations.refuse):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if not _PAGE.fullmatch(name) or not path.is_file():
                continue
            target = path.resolve() if path.is_symlink() else path  # no folder on the way is a link
            if target.is_relative_to(root):
                yield File(site.base + quote(path.relative_to(root).as_posix(), errors="surrogateescape"), target)


def _capture(file: File) -> captures.Response:
    """A page as a server would have sent it when the file was last changed."""
    changed = datetime.fromtimestamp(int(file.path.stat().st_mtime), UTC)
    encoding = "gzip" if file.path.name.endswith(".gz") else ""
    return captures.Response(file.url, changed.strftime("%Y-%m-%dT%H:%M:%SZ"), file.path.read_bytes(), encoding)


def _groups(pages: Sequence[File], size: float) -> Iterator[list[File]]:
    group: list[File] = []
    total = 0
    for file in pages:
        group.append(file)
        total += file.size
        if total >= size:
            yield group
            group, total = [], 0
    if group:
        yield group
