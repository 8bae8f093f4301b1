"""The document path, from crawl to pack, killed ten times at moments drawn by a seed: the bytes of one never killed."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.core.fingerprint import file_hash
from tests.document_path import write_crawl, write_project

KILLS = 10
SEED = 1


class Build:
    """``dvc repro pack`` in a project of its own, with two workers."""

    def __init__(self, folder: Path, archives: list[Path]) -> None:
        self.folder = folder
        write_project(folder)
        for archive in archives:
            shutil.copy(archive, folder / "incoming" / "crawl")
        (folder / "profile.yaml").write_text("workers: 2\n", "utf-8")
        self._dvc("init", "--no-scm", "--quiet").wait()

    def start(self) -> subprocess.Popen[bytes]:
        """Begin, or go on."""
        lock = self.folder / ".dvc" / "tmp" / "rwlock"
        try:
            json.loads(lock.read_bytes() if lock.exists() else "{}")
        except ValueError:  # DVC writes it in place: killed in that instant it leaves half of it, and asks to remove it
            lock.unlink()
        return self._dvc("repro", "pack")

    def _dvc(self, *command: str) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path, "HEADWATER_PROFILE": "profile.yaml"}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dvc", *command],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stage(self) -> str:
        """The stage that was run last."""
        return (re.findall(r"Running stage '(\w+)'", self.said()) or ["none"])[-1]

    def said(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    def made(self) -> dict[str, str]:
        """Hashes of all that was made."""
        paths = [path for name in ("data", "metrics") for path in sorted((self.folder / name).rglob("*"))]
        return {str(path.relative_to(self.folder)): file_hash(path) for path in paths if path.is_file()}

    def forget(self) -> None:
        """Be as new."""
        for name in ("data", "metrics", "work", ".dvc/cache", ".dvc/tmp"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("dvc.lock", "log"):
            (self.folder / name).unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_ten_kills_at_random_change_no_byte(tmp_path: Path) -> None:
    archives = write_crawl(tmp_path / "archives", 4, 16)
    whole = Build(tmp_path / "whole", archives)
    began = time.monotonic()
    assert whole.start().wait() == 0, whole.said()
    seconds = time.monotonic() - began
    killed = Build(tmp_path / "killed", archives)
    rng = random.Random(SEED)
    kills: list[str] = []
    while len(kills) < KILLS:
        process = killed.start()
        try:
            process.wait(rng.uniform(0.02, 0.3) * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills.append(killed.stage())
            continue
        assert process.returncode == 0, killed.said()
        assert killed.made() == whole.made()
        killed.forget()  # it ended before it was killed: once more from the start
    assert killed.start().wait() == 0, killed.said()
    print("killed in", ", ".join(kills))
    assert killed.made() == whole.made()
