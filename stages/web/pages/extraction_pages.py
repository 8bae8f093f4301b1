"""Pages to train and measure extraction on: three sets judged by people, archives, documentation.

The sets are described where they lie, in ``README.md`` of the data folder. None of them is part of the project.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import trafilatura
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from stages.core.errors import HeadwaterError
from stages.web.pages import charset
from stages.web.records import http, warc

JUDGED = ("wcxb_dev", "articles", "snippets")
_MAX_CHARACTERS = 2_000_000
_MAX_BYTES = 16 << 20
_DOCUMENTATION_SAMPLE = 5  # pages of each folder and language

# Navigation in documentation that extractors leave in, by the names that its generators give it: DocBook, Publican,
# Sphinx, Doxygen, Apache's manual.
_NAVIGATION = (
    "nav, [role=navigation], [role=search], .navheader, .navfooter, .docnav, .sphinxsidebar, .related, .breadcrumb, "
    ".breadcrumbs, .toplang, .bottomlang, #path, #page-header, #quickview, a.headerlink, a.permalink"
)


@dataclass(frozen=True)
class Page:
    """A page and what is known of its main text."""

    source: str  # name of its set
    kind: str  # page type, or the set's name
    host: str  # registrable part: pages of one site are never on both sides of a split
    html: str
    text: str | None = None  # its main text, where it is known
    present: Sequence[str] = ()  # snippets that belong to it
    absent: Sequence[str] = ()  # snippets that do not


def judged(data: Path, name: str) -> list[Page]:
    """A set of pages judged by people; ``text`` or snippets are known.

    Raises:
        HeadwaterError: the set is not there.
    """
    path = data / "extraction" / f"{name}.parquet"
    if not path.is_file():
        raise HeadwaterError(f"{path}: not here; --data names the folder that holds extraction/{name}.parquet")
    return [
        Page(
            source=name,
            kind=row.get("page_type") or name,
            host=_site(row["url"]),
            html=charset.decode(row["html"], ""),
            text=row.get("main_content"),
            present=row.get("must_have") or (),
            absent=row.get("must_not_have") or (),
        )
        for row in pq.read_table(path).to_pylist()
    ]


def archived(data: Path) -> list[Page]:
    """The different HTML pages of all WARC and ARC files in ``data/warc``, in order of path."""
    pages: dict[str, Page] = {}
    for path in sorted((data / "warc").rglob("*arc*")):
        if not path.is_file():
            continue
        for record in warc.read(path, _MAX_BYTES, warc.Loss()):
            if record.problem or record.kind not in ("response", "resource") or record.url in pages:
                continue
            page = http.page(record, _MAX_BYTES)
            if not isinstance(page, str) and page.is_html and len(page.body) >= 2000:
                html = charset.decode(page.body, page.charset)[:_MAX_CHARACTERS]
                pages[record.url] = Page("archived", "archived", _site(record.url), html)
    return list(pages.values())


def documentation(folder: Path) -> list[Page]:
    """A sample of the pages of unpacked documentation packages, as many of each language as of any other.

    What is known of them is what resiliparse extracts once the navigation that their generators mark is removed.
    """
    groups: dict[tuple[str, ...], list[Path]] = {}
    for path in sorted(folder.rglob("*.html*")):
        if path.stat().st_size > 3000:
            parts = path.relative_to(folder).parts
            groups.setdefault((*parts[:-1], "".join(path.suffixes[1:])), []).append(path)
    rng = random.Random(1)
    found = []
    for name, paths in sorted(groups.items()):
        for path in rng.sample(paths, min(len(paths), _DOCUMENTATION_SAMPLE)):
            html = charset.decode(path.read_bytes(), "")
            tree = HTMLTree.parse(html)
            assert tree.document is not None
            for element in tree.document.query_selector_all(_NAVIGATION):
                element.decompose()
            text = extract_plain_text(tree, main_content=True, alt_texts=False)
            found.append(Page("documentation", "documentation", "/".join(name[:-1]), html, text))
    return found


def extractions(pages: Sequence[Page], cache: Path) -> list[list[str]]:
    """What other extractors make of each page: trafilatura in three settings, resiliparse. Kept in the cache."""
    if cache.is_file():
        kept = [json.loads(line) for line in cache.read_text("utf-8").splitlines()]
        if len(kept) == len(pages):
            return kept
    found = [list(_extracted(page.html)) for page in pages]
    cache.write_text("".join(json.dumps(texts) + "\n" for texts in found), "utf-8")
    return found


def _extracted(html: str) -> Iterator[str]:
    yield trafilatura.extract(html) or ""
    yield trafilatura.extract(html, favor_precision=True) or ""
    yield trafilatura.extract(html, favor_recall=True) or ""
    yield extract_plain_text(HTMLTree.parse(html), main_content=True, alt_texts=False)


def _site(url: str | None) -> str:
    try:
        parts = (urlsplit(url or "").hostname or "").split(".")
    except ValueError:  # such as a broken IPv6 address
        return ""
    return ".".join(parts[-3:] if len(parts) > 2 and len(parts[-2]) <= 3 else parts[-2:])
