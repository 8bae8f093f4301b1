"""What git knows of the project: whether all is committed, and what a revision holds."""

import hashlib
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from stages.core.errors import HeadwaterError


def git(*arguments: str) -> str:
    """What a git command prints.

    Raises:
        HeadwaterError: git refuses; the message is the last line of its own.
    """
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise HeadwaterError(f"git {arguments[0]}: {lines[-1].removeprefix('fatal: ')}")
    return done.stdout


def require_clean(purpose: str) -> None:
    """Refuse a working tree whose tracked files differ from the last commit.

    Raises:
        HeadwaterError: they differ, or nothing was ever committed.
    """
    git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    changed = git("status", "--porcelain", "--untracked-files=no").splitlines()
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise HeadwaterError(f"{changed[0][3:]}{more} is not committed; commit it or take it back before {purpose}")


def shown(path: Path | str, revision: str = "HEAD") -> str | None:
    """A file of this project as a revision has it; None where it has not."""
    done = subprocess.run(["git", "show", f"{revision}:./{path}"], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def identity(paths: Iterable[str]) -> str:
    """A hash of what the last commit has under ``paths``."""
    return hashlib.sha256(git("ls-tree", "-r", "HEAD", "--", *sorted(set(paths))).encode()).hexdigest()


def untracked(paths: Sequence[str]) -> list[str]:
    """Files and folders under ``paths`` of which git tracks nothing, such as a crawl that a user has put there."""
    found = ("ls-files", "-z", "--others", "--directory", "--no-empty-directory")
    listed = git(*found, "--", *paths) if paths else ""
    return sorted({path.rstrip("/") for path in listed.split("\0") if path})
