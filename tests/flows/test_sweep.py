"""Sweeps over a small DVC project: real trials of Optuna's, real experiments of DVC's, through a real server."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

if TYPE_CHECKING:
    from tests.flows.conftest import Project, Server

PIPELINE = """
stages:
  source:
    cmd: python work.py source
    deps: [incoming]
    outs: [data/source]
  train:
    cmd: python work.py train
    deps: [data/source]
    params: [train]
    outs: [data/train]
    metrics: [metrics/train.json: {cache: false}]
"""

# Lies in no dependency, so that tests may have it behave otherwise. The loss is lowest at a rate of 0.1.
WORK = """
import json, os, sys, time
from pathlib import Path
import yaml

stage, home = sys.argv[1], Path(os.environ["SWEEP_TEST"])
with (home / "ran").open("a") as file:
    file.write(stage + "\\n")
Path("data", stage).mkdir(parents=True)
Path("data", stage, "text").write_text(Path("incoming").read_text())
if stage == "train":
    params = yaml.safe_load(Path("params.yaml").read_text())["train"]
    loss = abs(float(params["rate"]) - 0.1) + (params["mix"] != [{"host": "a.org", "weight": 2}])
    size = 10 * float(params["rate"]) + (params["kind"] == "b")
    if params["kind"] == "broken":
        sys.exit("error: train: no such kind")
    if (home / "slow").exists():
        (home / "slow").rename(home / "going")
        time.sleep(300)
    profile = Path(os.environ.get("HEADWATER_PROFILE", os.devnull)).read_text()
    for step in range(1, 5 if profile else 0):
        with Path(yaml.safe_load(profile)["watching"]["scalars"]).open("a") as file:
            file.write(json.dumps({"step": step, "training/loss": loss}) + "\\n")
        if step == 2 and loss > 0.5 and (home / "pruned").exists():
            time.sleep(300)
    Path("metrics").mkdir(exist_ok=True)
    Path("metrics/train.json").write_text(json.dumps({"held_out": {"loss": loss}, "size": size}))
"""

PARAMS: dict[str, Any] = {"train": {"rate": 0.5, "kind": "a", "mix": []}}

SWEEP: dict[str, Any] = {
    "target": "train",
    "objectives": {"train.held_out.loss": "minimize"},
    "sampler": "tpe",
    "seed": 1,
    "trials": 4,
    "pruning": None,
    "repeats": None,
    "fixed": {"train.mix": [{"host": "a.org", "weight": 2}]},
    "parameters": {"train.rate": {"low": "1e-2", "high": 1, "scale": "log"}},
}


@pytest.fixture
def searched(project: "Project") -> "Project":
    """A project with parameters, whose graph is built and committed."""
    project.environment["SWEEP_TEST"] = str(project.root.parent)
    for name, text in (
        ("dvc.yaml", PIPELINE),
        ("work.py", WORK),
        ("params.yaml", f"# What changes the bytes.\n{yaml.safe_dump(PARAMS)}"),
    ):
        project.write(name, text)
    project.write(".gitignore", "/data/\n")
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=project.root, env=project.environment, check=True)
    project.commit()
    return project


def sweep(project: "Project", *arguments: str, status: int = 0, **changes: Any) -> str:
    """Run a sweep; what it printed."""
    (project.root / "s.yaml").write_text(yaml.safe_dump({**SWEEP, **changes}))
    return project.run("sweep", "s.yaml", *arguments, status=status)


def rows(server: "Server") -> list[dict[str, Any]]:
    """The table of trials that the last run left."""
    artifacts = server.artifacts(server.last_run()["id"])
    (table,) = (json.loads(one["data"]) for one in artifacts.values() if one["type"] == "table")
    return list(table)


def test_a_trial_is_an_experiment_that_can_be_applied_and_more_trials_go_on(
    searched: "Project", server: "Server"
) -> None:
    output = sweep(searched, "--parallel", "2", trials=2)
    first = rows(server)
    assert len(first) == 2
    assert all(row["train.held_out.loss"] == pytest.approx(abs(row["train.rate"] - 0.1)) for row in first)
    sweep(searched, trials=3)
    best = rows(server)
    assert len(best) == 3
    assert [row for row in best if row in first] == first
    assert (searched.root.parent / "ran").read_text().split().count("source") == 1  # trials share what they have alike

    assert f"python -m flows.apply {first[0]['trial']}" in output
    before = (searched.root / "params.yaml").read_text()
    applied = searched.run("apply", best[0]["trial"])
    assert f"+  rate: {best[0]['train.rate']}" in applied
    after = (searched.root / "params.yaml").read_text()
    assert after.splitlines()[0] == before.splitlines()[0] == "# What changes the bytes."
    assert float(yaml.safe_load(after)["train"]["rate"]) == best[0]["train.rate"]
    assert json.loads((searched.root / "metrics/train.json").read_text())["held_out"]["loss"] == min(
        row["train.held_out.loss"] for row in best
    )
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status"], cwd=searched.root, capture_output=True, text=True, check=True
    )
    assert "Data and pipelines are up to date." in status.stdout


def test_a_stopped_sweep_goes_on_where_it_was(searched: "Project", server: "Server") -> None:
    (searched.root.parent / "slow").touch()
    (searched.root / "s.yaml").write_text(yaml.safe_dump({**SWEEP, "trials": 2}))
    process = searched.start("s.yaml", flow="sweep")
    deadline = time.monotonic() + 100
    while not (searched.root.parent / "going").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    sweep(searched, trials=2)
    stopped_and_whole = rows(server)
    assert len(stopped_and_whole) == 2
    assert list((searched.root / ".dvc/tmp/exps/standalone").glob("tmp*")) == []


def test_a_trial_that_is_behind_is_ended_and_one_that_fails_is_told_of(searched: "Project", server: "Server") -> None:
    (searched.root.parent / "pruned").touch()
    kinds = {"train.kind": {"values": ["a", "broken"]}}
    mixes = {"train.mix": {"values": [[{"host": "a.org", "weight": 2}], []]}}
    pruning = {"figure": "training/loss", "first": 1, "factor": 2}
    fixed, spaces = {"train.rate": 0.1}, kinds | mixes
    output = sweep(searched, trials=10, sampler="grid", pruning=pruning, fixed=fixed, parameters=spaces)
    names = sorted(task["state_name"] for task in server.tasks(server.last_run()["id"]).values())
    assert names == ["Completed", "Failed", "Failed", "Pruned"]
    assert "train.held_out.loss 0 with" in output
    messages = {task["state"]["message"] for task in server.tasks(server.last_run()["id"]).values()}
    assert "no such kind" in messages


def test_trials_have_what_was_brought_into_folders_that_git_tracks(searched: "Project", server: "Server") -> None:
    brought = searched.root / "brought"
    (brought / "mine").mkdir(parents=True)
    for name in ("README.md", "mine/büch 1.warc", "one.warc"):
        (brought / name).write_text("page")
    needed = PIPELINE.replace(
        "python work.py source", "cat brought/mine/*.warc brought/one.warc && python work.py source"
    )
    searched.write("dvc.yaml", needed.replace("[incoming]", "[incoming, brought]"))
    searched.write(".gitignore", "/data/\n/brought/*\n!/brought/README.md\n")
    searched.commit()
    sweep(searched, trials=1)
    assert len(rows(server)) == 1


def test_what_is_not_committed_is_refused(searched: "Project") -> None:
    searched.write("incoming", "changed ")
    assert sweep(searched, status=1) == "error: incoming is not committed; commit it or take it back before a sweep\n"


def test_a_metric_that_is_not_measured_ends_the_sweep_with_the_nearest_name(searched: "Project") -> None:
    output = sweep(searched, status=1, objectives={"train.held_out.los": "minimize"})
    lines = output.splitlines()
    assert lines[-1] == "error: metrics/train.json has no number held_out.los; did you mean 'held_out.loss'?"
    assert (searched.root.parent / "ran").read_text().split().count("train") == 2  # the first build, and one trial
    other = sweep(searched, status=1, objectives={"left.loss": "minimize"})
    assert other.splitlines()[-1].startswith("error: s: objectives: left.loss: target train builds no left")


def test_what_several_objectives_and_builds_found_is_a_page(searched: "Project", server: "Server") -> None:
    goals = {"train.held_out.loss": "minimize", "train.size": "maximize"}
    repeats = {"parameter": "train.kind", "values": ["a", "b"]}
    spaces = {"train.rate": {"values": [0.1, 0.2, 0.4]}}
    output = sweep(searched, objectives=goals, repeats=repeats, parameters=spaces, sampler="grid")
    shown = rows(server)
    assert sorted(row["train.rate"] for row in shown) == [0.1, 0.2, 0.4]
    assert {row["train.rate"]: row["train.size"] for row in shown}[0.4] == pytest.approx(4.5)
    page = searched.root / output.splitlines()[-1].rpartition("charts: ")[2]
    assert page.exists()
    assert "Pareto front" in page.read_text()
