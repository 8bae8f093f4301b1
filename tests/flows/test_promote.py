"""Promotion in a small DVC project: real results, DVC's cache, git's tags, and a real server."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

if TYPE_CHECKING:
    from tests.flows.conftest import Project

PIPELINE = """
stages:
  evaluate:
    cmd: python work.py
    deps: [incoming]
    outs: [data/export, data/evaluate]
    metrics: [metrics/evaluate.json: {cache: false}]
artifacts:
  model:
    path: data/export
    type: model
"""

# A model whose bits per byte are in `incoming`, over forty documents of which some are harder than others.
WORK = """
import json
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
from stages.scoring import questions

level, passes = Path("incoming").read_text().split()
Path("data/export").mkdir(parents=True)
Path("data/export/model").write_text(level + passes)
Path("data/evaluate").mkdir()
bits = [float(level) * (800 + number * 7) + 10 * (number * 31 % 17) for number in range(40)]
documents = {"id": [f"d{number}" for number in range(40)], "bits": bits, "bytes": [100] * 40}
pq.write_table(pa.table(documents), "data/evaluate/tuned.parquet")
questions.write(Path("data/evaluate/tuned_questions.parquet"), [])
Path("metrics").mkdir(exist_ok=True)
Path("metrics/evaluate.json").write_text(json.dumps({"safe": passes == "safe"}))
"""

RULES: dict[str, Any] = {
    "artifact": "model",
    "results": "data/evaluate",
    "model": "tuned",
    "better": ["held_out.bits_per_byte"],
    "not_worse": [],
    "at_most": {},
    "at_least": {"evaluate.safe": 1},
}


@pytest.fixture
def judged(project: "Project") -> "Project":
    """A project whose graph ends in an evaluation."""
    (project.root / "infra").mkdir()
    for name, text in (("dvc.yaml", PIPELINE), ("work.py", WORK), ("infra/promotion.yaml", yaml.safe_dump(RULES))):
        project.write(name, text)
    project.write(".gitignore", "/data/\n")
    return project


def candidate(project: "Project", level: float, passes: str = "safe") -> str:
    """Build and commit a model of some bits per byte; the commit."""
    project.write("incoming", f"{level} {passes}")
    dvc(project, "repro", "--quiet")
    project.commit()
    return project.git("rev-parse", "HEAD").strip()


def dvc(project: "Project", *arguments: str) -> None:
    """Run a command of DVC's."""
    command = [sys.executable, "-m", "dvc", *arguments]
    subprocess.run(command, cwd=project.root, env=project.environment, check=True, capture_output=True)


def registry(project: "Project") -> list[dict[str, Any]]:
    """What `--list` shows."""
    return [json.loads(line) for line in project.run("promote", "--list").splitlines()]


def last(output: str) -> str:
    """The last line of what a command printed; Prefect may log after it that it is still sending on a busy machine."""
    return [line for line in output.splitlines() if " | WARNING | EventsWorker" not in re.sub(" +", " ", line)][-1]


def test_only_what_is_better_is_promoted_and_a_rollback_takes_it_back(judged: "Project") -> None:
    first = candidate(judged, 0.50)
    assert last(judged.run("promote")) == "Promoted: v1.0.0 is the champion: the first"
    assert last(judged.run("promote")) == "Cached: v1.0.0 is the champion already"

    candidate(judged, 0.55)
    assert last(judged.run("promote", status=1)) == "Kept: held_out.bits_per_byte is worse"
    candidate(judged, 0.45, "unsafe")
    assert last(judged.run("promote", status=1)) == "Kept: evaluate.safe is 0, less than 1"

    better = candidate(judged, 0.45)
    output = last(judged.run("promote"))
    assert output.startswith("Promoted: v2.0.0 is the champion: held_out.bits_per_byte ")
    judged.run("promote", "--rollback")
    assert [(one["number"], one["version"], one["commit"]) for one in registry(judged)] == [
        (1, "v1.0.0", first),
        (2, "v2.0.0", better),
        (3, "v1.0.0", first),
    ]
    assert registry(judged)[2]["reason"] == "rolled back from v2.0.0 to v1.0.0"
    assert last(judged.run("promote", status=1)) == (
        "Kept: it is the model of v2.0.0, which was rolled back; to take that back: git tag --delete model#champion#3"
    )
    assert (
        judged.run("promote", "--rollback", status=1) == "error: model: nothing to go back to; promotions so far: 3\n"
    )

    # Garbage collection leaves what any promotion needs, and takes what none does.
    cache = Path(judged.root, ".dvc", "cache", "files")
    before = len(list(cache.rglob("*")))
    dvc(judged, "gc", "--workspace", "--all-tags", "--force")
    assert len(list(cache.rglob("*"))) < before
    judged.git("checkout", "--quiet", first)
    dvc(judged, "checkout")
    assert (judged.root / "data/export/model").read_text() == "0.5safe"


def test_the_champions_answers_are_kept_in_files_of_their_own(judged: "Project") -> None:
    assert judged.run("promote", "--record", status=1) == "error: model: nothing was promoted yet\n"
    for version, level in (("v1.0.0", 0.50), ("v2.0.0", 0.45)):
        candidate(judged, level)
        judged.run("promote")
        judged.run("promote", "--record")
        kept = judged.root / "infra/promoted"
        assert json.loads((kept / "champion.json").read_text())["version"] == version
        for name, of in (("scores", "tuned"), ("questions", "tuned_questions")):
            file = kept / f"{name}.parquet"
            assert file.read_bytes() == (judged.root / f"data/evaluate/{of}.parquet").read_bytes()
            assert file.stat().st_nlink == 1
        judged.commit()


def test_what_is_not_committed_or_not_built_is_refused(judged: "Project") -> None:
    candidate(judged, 0.5)
    judged.write("incoming", "0.6 safe")
    refused = "error: incoming is not committed; commit it or take it back before a promotion"
    assert last(judged.run("promote", status=1)) == refused
    judged.commit()
    assert last(judged.run("promote", status=1)).startswith("error: evaluate: not built as the last commit says")
    assert registry(judged) == []


def test_errors_in_the_rules_are_one_line(judged: "Project") -> None:
    for change, message in (
        ({"artifact": "mode"}, "error: dvc.yaml: artifacts: no 'mode', which infra/promotion.yaml promotes"),
        ({"at_mos": {}}, "error: infra/promotion.yaml.at_mos is not a parameter; did you mean 'at_most'?"),
    ):
        judged.write("infra/promotion.yaml", yaml.safe_dump({**RULES, **change}))
        judged.commit()
        assert last(judged.run("promote", status=1)) == message
