"""What every test stands on: an execution profile of its own, so that no test touches the project's work area."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.core import runtime

ROOT = Path(__file__).resolve().parents[1]

TAKEDOWN = ROOT / "incoming" / "takedown.txt"
"""The project's own list, which takes nothing down."""

DISK_MB = 30
"""Of the disk that a test fills."""


# Minutes each. Begun first, or one core waits at the end for the other.
LONGEST = ("flows/test_smoke.py", "test_pretrain.py", "flows/test_build.py", "core/test_trace.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order in which they begin, the longest first (`--no-loadscope-reorder` keeps it)."""
    first = {ROOT / "tests" / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path, len(first)))


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A profile with one worker, one thread and a work area in the test's folder; gives that work area."""
    work = tmp_path / "work"
    file = tmp_path / "profile.yaml"
    settings = ["workers: 1", "processes: 1", "threads: 1", "saving: {every: 100, keep_last: 2}", "work_limit_gb: 10"]
    file.write_text("\n".join([*settings, f"work: {work}"]), "utf-8")
    monkeypatch.setenv("HEADWATER_PROFILE", str(file))
    runtime.profile.cache_clear()
    yield work
    runtime.profile.cache_clear()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk: run as root, with CAP_SYS_ADMIN")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
