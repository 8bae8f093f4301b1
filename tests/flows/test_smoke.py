"""The whole graph on a few dozen pages, built through a real Prefect server: the one test that sees every stage."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.site import write_site

if TYPE_CHECKING:
    from tests.flows.conftest import Server

ROOT = Path(__file__).resolve().parents[2]
PAGES = 80


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The working tree as a repository of its own, with a web site to read and the smoke recipe applied."""
    root = tmp_path / "headwater"
    listed = _run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # a file that is deleted and not yet committed is listed too
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    (root / "dvc.lock").unlink(missing_ok=True)
    write_site(root / "incoming" / "crawl" / "site", PAGES)
    _run(root, sys.executable, "-m", "stages.core.recipe", "smoke")
    _run(root, "git", "init", "--quiet")
    _run(root, "git", "add", "--all")
    _run(root, "git", "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "--quiet", "-m", "Copy")
    return root


@pytest.mark.timeout(600)
def test_the_whole_graph_builds_and_then_has_nothing_to_do(clone: Path, server: "Server", tmp_path: Path) -> None:
    environment = {"PREFECT_API_URL": f"{server.url}/api", "PREFECT_HOME": str(tmp_path / "prefect")}
    stages = list(yaml.safe_load((clone / "dvc.yaml").read_text())["stages"])

    _run(clone, sys.executable, "-m", "flows.build", **environment)
    run = server.last_run()["id"]
    assert {name: task["state_name"] for name, task in server.tasks(run).items()} == dict.fromkeys(stages, "Completed")
    artifacts = set(server.artifacts(run))
    assert artifacts >= {f"{stage}-{kind}" for stage in stages for kind in ("files", "metrics")}
    assert artifacts >= {"filter-drops", "dedup-drops", "pretrain-plots", "finetune-plots", "report-page"}
    assert artifacts >= {f"{stage}-sample" for stage in ("extract", "filter", "dedup", "decontaminate", "evaluate")}
    for stage in stages:
        metrics = json.loads((clone / "metrics" / f"{stage}.json").read_text())
        assert metrics["in"] == metrics["out"] + sum(metrics["dropped"].values())
    assert (clone / "data" / "report" / "index.html").stat().st_size < 2_000_000

    _run(clone, sys.executable, "-m", "flows.build", **environment)
    again = server.tasks(server.last_run()["id"])
    assert {name: task["state_name"] for name, task in again.items()} == dict.fromkeys(stages, "Cached")
    assert "Data and pipelines are up to date." in _run(clone, sys.executable, "-m", "dvc", "repro")
    assert "Data and pipelines are up to date." in _run(clone, sys.executable, "-m", "dvc", "status")


def _run(folder: Path, *command: str, **environment: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
