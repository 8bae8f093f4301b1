"""The folders under incoming/: git leaves alone what a user brings, but for what DVC keeps of it."""

import shutil
import subprocess
from pathlib import Path

from stages.core.fingerprint import ROOT

BROUGHT = ["incoming/crawl/mine/a.warc.gz", "incoming/evaluation/quiz.jsonl", "incoming/pretrain/model/config.json"]
KEPT = ["incoming/crawl/README.md", "incoming/crawl/mine.dvc", "incoming/crawl/.gitignore", "incoming/takedown.txt"]


def test_git_leaves_what_is_brought_alone(tmp_path: Path) -> None:
    """`dvc exp run` copies what git would track into git's own store, a crawl of any size as well."""
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    asked = ["git", "check-ignore", *BROUGHT, *KEPT]
    found = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == BROUGHT
