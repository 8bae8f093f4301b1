"""Trees of HTML files as web sites: which files are pages, and where they would be found."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from stages.web.captures import Capture

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


def files(site: Site) -> Iterator[File]:
    """The pages of a site, sorted by path; those behind links count as pages of their own, as a server serves them.

    Links that lead out of the tree are not followed.
    """
    root = site.root.resolve()
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if not _PAGE.fullmatch(name) or not path.is_file():
                continue
            target = path.resolve()
            if target.is_relative_to(root):
                yield File(site.base + quote(path.relative_to(root).as_posix(), errors="surrogateescape"), target)


def capture(file: File) -> Capture:
    """A page as a server would have sent it when the file was last changed."""
    changed = datetime.fromtimestamp(int(file.path.stat().st_mtime), UTC)
    encoding = "gzip" if file.path.name.endswith(".gz") else ""
    return Capture(file.url, changed.strftime("%Y-%m-%dT%H:%M:%SZ"), file.path.read_bytes(), encoding=encoding)
