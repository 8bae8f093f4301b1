"""What Git knows of earlier builds."""

import subprocess

from stages.core.errors import HeadwaterError
from stages.core.trace.lineage import LOCK


def git(*arguments: str) -> str:
    """What git prints; nothing where it fails, or is not there."""
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    except FileNotFoundError:
        return ""
    return "" if done.returncode else done.stdout.strip()


def shown(revision: str, path: str) -> str:
    """A file of the project as it was in a revision.

    Raises:
        HeadwaterError: the revision is unknown, or has no such file.
    """
    text = git("show", "--end-of-options", f"{revision}:./{path}")
    if not text:
        raise HeadwaterError(f"{revision}: no {path} in that revision; `git log {LOCK}` lists the builds")
    return text
