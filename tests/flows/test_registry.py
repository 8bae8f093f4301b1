"""The registry in a real git repository: what is the champion, since when, and the way back."""

import subprocess
from pathlib import Path

import pytest

from flows import history
from flows.registry import Registry
from stages.core.errors import HeadwaterError


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry in an empty repository that is the working directory."""
    monkeypatch.chdir(tmp_path)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "test")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "test@example.org")
    subprocess.run(["git", "init", "--quiet"], check=True)
    return Registry("model")


def commit(text: str) -> str:
    """Commit a file; the commit."""
    Path("file").write_text(text)
    history.git("add", "file")
    history.git("commit", "--quiet", "--message", text)
    return history.git("rev-parse", "HEAD").strip()


def test_rolling_back_goes_one_version_back_each_time(repository: Registry) -> None:
    commits = [commit(text) for text in "abc"]
    for number, one in enumerate(commits, start=1):
        assert repository.promote(one, f"reason {number}\n\nwith more").version == f"v{number}.0.0"
    assert repository.roll_back().commit == commits[1]
    later = commit("d")
    assert repository.promote(later, "better").version == "v4.0.0"
    assert [repository.roll_back().version for _ in range(2)] == ["v2.0.0", "v1.0.0"]
    with pytest.raises(HeadwaterError, match="nothing to go back to; promotions so far: 7"):
        repository.roll_back()
    past = repository.promotions()
    assert [one.number for one in past] == list(range(1, 8))
    assert past[0].reason == "reason 1\n\nwith more"
    assert past[3].reason == "rolled back from v3.0.0 to v2.0.0"


def test_other_tags_are_no_promotions(repository: Registry) -> None:
    one = commit("a")
    history.git("tag", "v1")
    history.git("tag", "model#champion#9")  # not annotated: nobody said why
    Registry("other").promote(one, "of another artifact")
    assert repository.promotions() == []
    assert repository.champion() is None


def test_what_is_not_committed_is_named(repository: Registry) -> None:
    with pytest.raises(HeadwaterError):
        history.require_clean("a promotion")  # nothing was ever committed
    commit("a")
    history.require_clean("a promotion")
    Path("another").write_text("not tracked")
    history.require_clean("a promotion")
    Path("file").write_text("changed")
    with pytest.raises(HeadwaterError, match="file is not committed; commit it or take it back before a promotion"):
        history.require_clean("a promotion")
