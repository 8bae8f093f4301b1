"""Fingerprints: they change with what a function does, not with how its source looks."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.core import fingerprint


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of three modules: stages.first imports stages.room.tool, which reads a template."""
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    room = tmp_path / "stages" / "room"
    room.mkdir(parents=True)
    (tmp_path / "stages" / "__init__.py").write_text("")
    (room / "__init__.py").write_text("")
    (room / "page.html").write_text("<p>")
    (room / "tool.py").write_text('import yaml\n\nTEMPLATE = "page.html"\n\ndef f(x):\n    return x + 1\n')
    (tmp_path / "stages" / "first.py").write_text("from stages.room import tool\n")
    (tmp_path / "stages" / "other.py").write_text("")
    yield tmp_path
    forget()


def forget() -> None:
    for cached in (fingerprint.code, fingerprint._tree, fingerprint._normalised, fingerprint._imports):
        cached.cache_clear()


def code(module: str) -> str:
    forget()
    return fingerprint.code(module)


def test_the_closure_follows_imports_and_their_packages(project: Path) -> None:
    code("stages.first")
    assert fingerprint.closure("stages.first") == ["stages.first", "stages", "stages.room", "stages.room.tool"]


def test_comments_docstrings_and_layout_do_not_count(project: Path) -> None:
    before = code("stages.first")
    (project / "stages/room/tool.py").write_text(
        '"""Doc."""\nimport yaml  # why\nTEMPLATE = "page.html"\ndef f(x):\n    "Add."\n    return (x +\n        1)\n'
    )
    assert code("stages.first") == before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("room/tool.py", 'import yaml\nTEMPLATE = "page.html"\ndef f(x):\n    return x + 2\n'),
        ("room/page.html", "<b>"),
        ("room/__init__.py", "flag = 1"),
    ],
)
def test_whatever_runs_counts_in_the_whole_closure(project: Path, file: str, text: str) -> None:
    before = code("stages.first")
    (project / "stages" / file).write_text(text)
    assert code("stages.first") != before


def test_a_module_outside_the_closure_does_not_count(project: Path) -> None:
    before = code("stages.first")
    (project / "stages/other.py").write_text("x = 1")
    assert code("stages.first") == before


def test_the_versions_of_imported_libraries_count_with_what_they_require() -> None:
    versions = fingerprint.software(frozenset({"datasets", "yaml"}))
    assert {"datasets", "pyyaml", "pyarrow", "numpy"} <= set(versions)


def test_a_folder_is_hashed_by_names_and_content(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "file").write_text("text")
    assert fingerprint.file_hash(tmp_path / "a") == fingerprint.file_hash(tmp_path / "b")
    (tmp_path / "b" / "sub" / "file").rename(tmp_path / "b" / "file")
    assert fingerprint.file_hash(tmp_path / "a") != fingerprint.file_hash(tmp_path / "b")


def test_a_file_that_was_hashed_is_hashed_anew_once_it_changes(tmp_path: Path) -> None:
    file, copy = tmp_path / "file", tmp_path / "copy"
    for number in range(200):  # within one tick of the file system's clock, and of the same size
        file.write_text(f"{number:03}")
        fingerprint.file_hash(file)
    copy.write_text("199")
    assert fingerprint.file_hash(file) == fingerprint.file_hash(copy)
    os.utime(file, (1, 1))
    before = fingerprint.file_hash(file)
    file.write_text("200")
    os.utime(file, (2, 2))
    assert fingerprint.file_hash(file) != before
