"""A working tree that two machines share."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flows import tree
from stages.core.errors import HeadwaterError
from tests.engines.hosts import network

if TYPE_CHECKING:
    from tests.flows.conftest import Project


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


def test_those_of_one_build_hold_the_tree_together(folder: Path) -> None:
    (folder / "elsewhere 12 34").write_text("a build")
    (folder / "third 5 6").write_text("a build")
    with tree.held("a build") as build:
        assert build == "a build"
    with pytest.raises(HeadwaterError, match=r"^elsewhere is building this working tree"), tree.held():
        pass


def test_another_folder_than_that_of_the_build_is_named(folder: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (folder / f"{socket.gethostname()} {gone.pid} 34").write_text("a build that was killed")
    for build in ("a build elsewhere", "a build that was killed"):
        with pytest.raises(HeadwaterError, match=r"is not the folder of the build that asks"), tree.held(build):
            pass
    assert len(list(folder.iterdir())) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_of_two_machines_on_one_tree_the_second_is_told_and_builds_when_the_first_is_gone(project: "Project") -> None:
    del project.environment["PREFECT_API_URL"]  # each has a server of its own: they share files only
    command = [sys.executable, "-m", "flows.build"]
    how = {"cwd": project.root, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    homes = [{**project.environment, "PREFECT_HOME": str(project.root.parent / name)} for name in ("one", "other")]
    project.write("slow", "source")
    with network() as (one, other):
        one.start(command, env=homes[0], cwd=project.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 200
        while not (project.root / "pids").exists():
            assert time.monotonic() < deadline
            time.sleep(0.5)
        second = other.start(command, env=homes[1], **how)
        said, _ = second.communicate(timeout=200)
        assert "node0 is building this working tree; one machine does at a time" in said
        assert second.returncode == 1
        assert project.ran() == ["source"]

        one.off()
        (project.root / "slow").unlink()
        held = next((project.root / tree.FOLDER).iterdir())
        os.utime(held, (time.time() - 600, time.time() - 600))
        third = other.start(command, env=homes[1], **how)
        said, _ = third.communicate(timeout=400)
        assert third.returncode == 0, said
        assert "node0 left a build of this working tree; watching for 100 s if it lives" in said
    assert sorted(project.ran()) == ["joined", "left", "right", "source", "source"]
    assert list((project.root / tree.FOLDER).iterdir()) == []
