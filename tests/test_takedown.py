"""Pages taken down: they leave the crawl, their texts leave the documents, and only what they touch is built again."""

from pathlib import Path
from typing import Any

import pytest

from stages.core import documents, takedown
from stages.core.errors import HeadwaterError
from stages.web.records import warc
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


def test_a_whole_host_can_go(project: Project) -> None:
    extracted = _rows(project.folder / "data/extract/documents")
    _list(project, takedown.host(extracted[0]["url"]))
    with pytest.raises(HeadwaterError, match="no pages in"):
        project.build("crawl", "crawl")


def test_a_text_leaves_the_documents_and_no_word_of_it_is_kept(project: Project) -> None:
    extracted = _rows(project.folder / "data/extract/documents")
    gone = extracted[0]
    _list(project, takedown.text_hash(gone["text"]))
    built = project.build("crawl", "extract")
    assert (built["extract"], built["extract-takedown"]) == (0, 1)
    assert gone["id"] not in {row["id"] for row in _rows(project.folder / "data/extract/documents")}
    (dropped,) = (row for row in _rows(project.folder / "data/extract/dropped") if row["reason"] == "takedown")
    assert (dropped["id"], dropped["text"], dropped["title"]) == (gone["id"], "", "")
