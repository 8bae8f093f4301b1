"""The execution profile: what it does not say is as in the default, and what it cannot mean is refused."""

from pathlib import Path

import pytest

from stages.core import runtime
from stages.core.errors import HeadwaterError


@pytest.fixture(autouse=True)
def afresh(profile: Path) -> None:
    """Profiles that are read, not remembered."""
    runtime.profile.cache_clear()


def test_a_profile_says_only_what_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.yaml").write_text("workers: 7\nsaving: {every: 9}\n", "utf-8")
    monkeypatch.setenv("HEADWATER_PROFILE", str(tmp_path / "mine.yaml"))
    mine = runtime.profile()
    runtime.profile.cache_clear()
    monkeypatch.setenv("HEADWATER_PROFILE", "")  # as a shell leaves it: none
    default = runtime.profile()
    assert (mine.workers, mine.saving.every, mine.saving.keep_last) == (7, 9, default.saving.keep_last)
    assert default.workers != 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workrs: 1", r"mine\.yaml\.workrs is not a parameter; did you mean 'workers'\?"),
        ("workers: -1", r"mine\.yaml\.workers: Input should be greater than or equal to 0, got -1"),
        ("threads: 0", r"mine\.yaml\.threads: Input should be greater than 0, got 0"),
        ("processes: 0", r"mine\.yaml\.processes: Input should be greater than 0, got 0"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text, "utf-8")
    monkeypatch.setenv("HEADWATER_PROFILE", str(tmp_path / "mine.yaml"))
    with pytest.raises(HeadwaterError, match=message):
        runtime.profile()


def test_a_folder_is_no_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_PROFILE", str(tmp_path))
    with pytest.raises(HeadwaterError, match="a folder, where a file is to be"):
        runtime.profile()
