"""What every test stands on: an execution profile of its own, so that no test touches the project's work area."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.core import runtime

ROOT = Path(__file__).resolve().parents[1]

TAKEDOWN = ROOT / "incoming" / "takedown.txt"
"""The project's own list, which takes nothing down."""


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
