"""A working tree that two machines share."""

import os
import socket
import time
from pathlib import Path

import pytest

from flows import tree
from stages.core.errors import HeadwaterError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of those who build, in an empty project."""
    monkeypatch.chdir(tmp_path)
    tree.FOLDER.mkdir(parents=True)
    return tmp_path / tree.FOLDER


def test_another_machine_at_work_is_named(folder: Path) -> None:
    (folder / "elsewhere 12 34").touch()
    with pytest.raises(HeadwaterError, match=r"^elsewhere is building this working tree"), tree.held():
        pass
    assert [path.name for path in folder.iterdir()] == ["elsewhere 12 34"]


def test_a_machine_that_was_switched_off_holds_nobody_up(folder: Path) -> None:
    gone = folder / "elsewhere 12 34"
    gone.touch()
    os.utime(gone, (time.time() - 600, time.time() - 600))
    with tree.held():
        assert not gone.exists()
    assert list(folder.iterdir()) == []


def test_another_process_of_this_machine_may_build_too(folder: Path) -> None:
    (folder / f"{socket.gethostname()} 12 34").touch()
    with tree.held(), tree.held():
        assert len(list(folder.iterdir())) == 2
