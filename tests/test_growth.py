"""A crawl that grew: what the new archive does not touch is taken as it is."""

import shutil
from pathlib import Path

import pytest

from tests.document_path import Project, write_crawl

ARCHIVES = 4


def test_one_more_archive_recomputes_only_what_it_touches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path / "project", monkeypatch, workers=1)
    *known, new = write_crawl(tmp_path / "archives", ARCHIVES, 16)
    incoming = project.folder / "incoming" / "crawl"
    for archive in known:
        shutil.copy(archive, incoming)
    first = project.build("crawl", "pack")
    assert not project.build("crawl", "pack")
    shutil.copy(new, incoming)
    grown = project.build("crawl", "pack")
    # What reads one archive, or one shard of documents, is built for the new one alone.
    by_archive = ["crawl", "extract", "filter", "dedup-signatures", "dedup", "decontaminate-heldout"]
    assert {label: (first[label], grown[label]) for label in by_archive} == dict.fromkeys(by_archive, (len(known), 1))
    # The rest depends on all: groups of duplicates, held-out text that no shard may share, the tokenizer.
    assert all(grown[label] <= first[label] + 1 for label in grown)
