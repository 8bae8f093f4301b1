"""Pages taken down: they leave the crawl, their texts leave the documents, and only what they touch is built again."""

import gzip
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from stages.core import documents, takedown
from stages.core.errors import HeadwaterError
from stages.web import likeness
from stages.web.duplicates import shingles
from stages.web.records import warc
from tests import small_model, warcs
from tests.document_path import Project, write_crawl

ARCHIVES = 3


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Three archives, extracted."""
    project = Project(tmp_path / "project", monkeypatch, workers=1)
    write_crawl(project.folder / "incoming" / "crawl", ARCHIVES, 6)
    project.build("crawl", "extract")
    return project


def _rows(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("*.parquet")) for row in documents.read(path)]


def _records(project: Project) -> dict[str, warc.Record]:
    paths = sorted((project.folder / "data/crawl/warcs").iterdir())
    return {record.url: record for path in paths for record in warc.read(path, 1 << 24, warc.Loss())}


def _list(project: Project, *lines: str) -> None:
    (project.folder / "incoming" / "takedown.txt").write_text("\n".join(lines) + "\n", "utf-8")


def test_a_page_leaves_the_crawl_and_its_neighbours_stay(project: Project) -> None:
    before, extracted = _records(project), _rows(project.folder / "data/extract/documents")
    gone = extracted[0]
    _list(project, gone["url"])
    built = project.build("crawl", "extract")
    assert (built["crawl-takedown"], built["extract"], built["crawl"]) == (1, 1, 0)
    after = _records(project)
    assert set(before) - set(after) == {gone["url"]}
    assert {url: record.identity for url, record in after.items()} == {url: before[url].identity for url in after}
    left = _rows(project.folder / "data/extract/documents")
    assert [row["id"] for row in left] == [row["id"] for row in extracted if row["id"] != gone["id"]]
    # Another entry touches its own archive alone, and an empty list brings all back.
    _list(project, gone["url"], extracted[-1]["id"])
    assert project.build("crawl", "extract")["crawl-takedown"] == 1
    _list(project, "")
    project.build("crawl", "extract")
    assert _rows(project.folder / "data/extract/documents") == extracted


def test_what_was_no_page_is_none_in_an_archive_that_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path / "project", monkeypatch, workers=1)
    gone, *others = warcs.pages(4)
    cut = others[1].removesuffix(b"</html>\r\n\r\n")
    untyped = [one.replace(b"WARC-Type: response\r\n", b"") for one in (others[0], warcs.record(b"<p>No message</p>"))]
    records = [gone, cut, *untyped, others[2], cut]
    crawl = project.folder / "incoming" / "crawl"
    warcs.write(crawl / "a.warc.gz", b"".join(warcs.gz(records)))
    page = warcs.html(7)
    message = b"HTTP/1.0 200 OK\r\n\r\n" + page
    found = {"filedesc://a.arc": b"1 0 <p>Archive</p>\n", "http://example.org/0": page, "http://example.org/7": message}
    arc = [f"{url} 10.0.0.1 20240506070809 text/html {len(block)}\n".encode() + block for url, block in found.items()]
    warcs.write(crawl / "a.arc.gz", b"".join(warcs.gz([*(one + b"\n" for one in arc), arc[-1][:-20]])))

    def extracted(kind: str) -> list[tuple[str, str, str]]:
        project.build("crawl", "extract")
        rows = _rows(project.folder / "data/extract" / kind)
        return [(row["url"], row["date"], row.get("reason", row["id"])) for row in rows if row["url"] != named]

    named = "http://example.org/0"
    before = extracted("documents"), extracted("dropped")
    assert [len(rows) for rows in before] == [2, 3]
    _list(project, named)
    assert (extracted("documents"), extracted("dropped")) == before


def test_a_whole_host_can_go(project: Project) -> None:
    extracted = _rows(project.folder / "data/extract/documents")
    _list(project, takedown.host(extracted[0]["url"]))
    with pytest.raises(HeadwaterError, match=r"no pages are left of those found: takedown \d+; see incoming/takedown"):
        project.build("crawl", "crawl")


def test_a_text_leaves_the_crawl_wherever_it_was_captured(project: Project) -> None:
    extracted = _rows(project.folder / "data/extract/documents")
    gone = extracted[0]
    _list(project, takedown.text_hash(gone["text"]))
    assert project.build("crawl", "extract")["crawl-takedown"] == 1
    assert gone["url"] not in _records(project)
    left = _rows(project.folder / "data/extract/documents")
    assert [row["id"] for row in left] == [row["id"] for row in extracted if row["text"] != gone["text"]]


def _similarity(one: str, other: str) -> float:
    """Jaccard similarity of the runs of five words, by Python's own sets."""
    runs = [{tuple(words[at : at + 5]) for at in range(len(words) - 4)} for words in map(shingles.split, (one, other))]
    return len(runs[0] & runs[1]) / len(runs[0] | runs[1])


def test_what_is_like_a_page_goes_with_it_and_what_is_less_alike_stays(project: Project) -> None:
    folder = project.folder / "incoming" / "crawl"
    extracted = _rows(project.folder / "data/extract/documents")
    text = max((row["text"] for row in extracted), key=len)
    words = text.split()
    copies = {share: " ".join(words[: int(len(words) * share)]) for share in (1.0, 0.9, 0.6)}
    pages = [(f"http://copy.example/{share}.html", f"<p>{copy}</p>".encode()) for share, copy in copies.items()]
    warcs.write(
        folder / "copies.warc.gz", b"".join(gzip.compress(warcs.response(body, url), mtime=0) for url, body in pages)
    )
    project.build("crawl", "extract")
    found = {row["url"]: row for row in _rows(project.folder / "data/extract/documents")}
    named = pages[0][0]
    alike = {url for url, row in found.items() if _similarity(row["text"], found[named]["text"]) >= 0.8}
    assert {pages[1][0]} < alike - {named}
    assert pages[2][0] not in alike
    _list(project, f"{named} similar 0.8")
    project.build("crawl", "extract")
    left = {row["url"] for row in _rows(project.folder / "data/extract/documents")}
    assert (set(found) - left, set(_records(project)) & alike) == (alike, set())
    metrics = json.loads(Path("metrics/crawl.json").read_text("utf-8"))["dropped"]
    assert (metrics["takedown"], metrics["takedown_similar"]) == (1, len(alike) - 1)
    # The page is gone from the crawl; what is kept of it still finds a copy that comes back.
    withdrawn = project.folder / "data/crawl/withdrawn.parquet"
    assert likeness.left(project.folder / "data/extract/documents", withdrawn) == {}
    small_model.write(project.folder / "again/00000.parquet", [found[pages[1][0]]])
    ((identity, similarity),) = likeness.left(project.folder / "again", withdrawn).items()
    assert identity == found[pages[1][0]]["id"]
    assert similarity == pytest.approx(_similarity(copies[0.9], copies[1.0]))


def test_what_a_robots_txt_forbids_now_leaves_what_was_crawled_before(project: Project) -> None:
    extracted = _rows(project.folder / "data/extract/documents")
    name, path = takedown.host(extracted[0]["url"]), urlsplit(extracted[0]["url"]).path
    (project.folder / "incoming/robots" / f"{name}.txt").write_text(f"User-agent: headwater\nDisallow: {path}$\n")
    project.build("crawl", "extract")
    left = _rows(project.folder / "data/extract/documents")
    assert [row["id"] for row in left] == [row["id"] for row in extracted[1:]]
    assert json.loads(Path("metrics/crawl.json").read_text("utf-8"))["dropped"]["opt_out_robots"] == 1
    # The latest that the archives hold counts where none was put there since.
    (project.folder / "incoming/robots" / f"{name}.txt").unlink()
    old = f"User-agent: *\nDisallow: {path}\n"
    new = old + f"Allow: {path}$\n"
    url, kind = f"http://{name}/robots.txt", "Content-Type: text/plain\r\n"
    rules = [warcs.response(body.encode(), url, kind) for body in (old, new)]
    rules[0] = re.sub(rb"WARC-Date: ....", b"WARC-Date: 1999", rules[0])
    warcs.write(project.folder / "incoming/crawl/robots.warc.gz", b"".join(map(gzip.compress, rules[::-1])))
    project.build("crawl", "extract")
    assert {row["url"] for row in extracted} <= {row["url"] for row in _rows(project.folder / "data/extract/documents")}
