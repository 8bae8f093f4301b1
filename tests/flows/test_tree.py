"""A working tree that two machines share."""

import os
import socket
import subprocess
import sys
import threading
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


@pytest.mark.parametrize("age", [600, -3600, 86400], ids=["ten-minutes", "clock-set-back", "clock-set-forward"])
def test_a_machine_that_was_switched_off_holds_nobody_up(
    folder: Path, age: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tree, "_WATCHED", 0.2)
    gone = folder / "elsewhere 12 34"
    gone.touch()
    os.utime(gone, (time.time() - age, time.time() - age))
    with tree.held():
        assert not gone.exists()
    assert list(folder.iterdir()) == []
    assert "elsewhere left a build of this working tree" in capsys.readouterr().err


@pytest.mark.parametrize("age", [600, -3600, 86400])
def test_a_machine_at_work_is_seen_whatever_its_clock_says(
    folder: Path, age: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "_WATCHED", 60.0)
    other = folder / "elsewhere 12 34"
    other.touch()
    os.utime(other, (time.time() - age, time.time() - age))
    touch = threading.Timer(0.5, os.utime, [other, (time.time() - age + 20, time.time() - age + 20)])
    touch.start()
    with pytest.raises(HeadwaterError, match=r"^elsewhere is building this working tree"), tree.held():
        pass
    touch.join()
    assert other.exists()


def test_a_killed_process_of_this_machine_leaves_nothing(folder: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (folder / f"{socket.gethostname()} {gone.pid} 34").touch()
    with tree.held():
        assert len(list(folder.iterdir())) == 1


def test_another_process_of_this_machine_may_build_too(folder: Path) -> None:
    (folder / f"{socket.gethostname()} {os.getppid()} 34").touch()
    with tree.held(), tree.held():
        assert len(list(folder.iterdir())) == 2
