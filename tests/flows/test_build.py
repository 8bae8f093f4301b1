"""Builds of a small DVC project through a real Prefect server: states, artifacts, failures, and stopping."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flows.running import reason

if TYPE_CHECKING:
    from tests.flows.conftest import Project, Server


def test_a_build_runs_the_graph_and_a_second_one_finds_nothing_to_do(project: "Project", server: "Server") -> None:
    project.write("together", "")  # left and right wait for one another
    project.build()
    run = server.last_run()
    tasks = server.tasks(run["id"])
    assert run["state_name"] == "Completed"
    assert {name: task["state_name"] for name, task in tasks.items()} == dict.fromkeys(
        ["source", "left", "right", "joined"], "Completed"
    )
    upstream = {name: {one["id"] for one in task["task_inputs"].get("wait_for", [])} for name, task in tasks.items()}
    assert upstream["joined"] == {tasks["left"]["id"], tasks["right"]["id"]}

    artifacts = server.artifacts(run["id"])
    assert set(artifacts) == {f"{s}-{kind}" for s in tasks for kind in ("files", "metrics", "drops")} | {"joined-plots"}
    lock = (project.root / "dvc.lock").read_text()
    files = {row["path"]: row["hash"] for row in _rows(artifacts["joined-files"])}
    assert set(files) == {"data/left", "data/right", "data/joined", "metrics/joined.json"}
    assert all(f"md5: {hash}" in lock for hash in files.values())
    assert _rows(artifacts["source-drops"])[0]["reason"] == r"\<img src\=x\>"

    project.build()
    run = server.last_run()
    assert run["state_name"] == "Cached"
    assert {task["state_name"] for task in server.tasks(run["id"]).values()} == {"Cached"}
    assert len(project.ran()) == 4


def test_only_what_a_change_touches_is_built_again(project: "Project", server: "Server") -> None:
    project.build()
    project.write("dvc.yaml", (project.root / "dvc.yaml").read_text().replace("work.py left", "./work.py left"))
    project.build("left")
    assert {name: task["state_name"] for name, task in server.tasks(server.last_run()["id"]).items()} == {
        "source": "Cached",
        "left": "Completed",
    }
    project.write("incoming", "another page ")
    project.build()
    run = server.last_run()["id"]
    assert {task["state_name"] for task in server.tasks(run).values()} == {"Completed"}
    metrics = {row["metric"]: row for row in _rows(server.artifacts(run)["source-metrics"])}
    assert metrics["in"] == {"metric": "in", "value": "13", "before": "5", "change": "+8"}

    project.write("incoming", "page ")
    project.build("source")  # DVC has kept what it built from this page
    assert server.tasks(server.last_run()["id"])["source"]["state_name"] == "Cached"
    assert len(project.ran()) == 4 + 1 + 4


def test_a_stage_fails_with_its_own_words_and_the_others_go_on(project: "Project", server: "Server") -> None:
    project.write("broken", "left")
    project.build(status=1)
    run = server.last_run()
    tasks = server.tasks(run["id"])
    assert {name: task["state_name"] for name, task in tasks.items()} == {
        "source": "Completed",
        "left": "Failed",
        "right": "Completed",
        "joined": "NotReady",
    }
    assert tasks["left"]["state"]["message"] == "incoming/page.html: no page"
    assert tasks["joined"]["state"]["message"] == "needs left"
    assert run["state"]["message"] == "left: incoming/page.html: no page"

    (project.root / "broken").unlink()
    project.build()
    assert project.ran()[-2:] == ["left", "joined"]


@pytest.mark.slow
def test_rules_of_a_stage_say_how_often_it_is_tried_and_what_runs_alone(project: "Project", server: "Server") -> None:
    rules = "    meta: {flow: {retries: 1, at_once: {memory: 1}}}\n"
    text = (project.root / "dvc.yaml").read_text()
    for name in ("left", "right"):
        text = text.replace(f"  {name}:\n", f"  {name}:\n{rules}")
    project.write("dvc.yaml", text)
    project.write("broken", "left")
    said = project.build(status=1)
    assert said.count("failed, and is tried again, time 1 of 1") == 1
    assert project.ran().count("left") == 2
    (project.root / "broken").unlink()
    project.build("--force")
    run = server.last_run()["id"]
    both = [server.tasks(run)[name]["id"] for name in ("left", "right")]
    logs = server.ask("logs/filter", logs={"flow_run_id": {"any_": [run]}}, limit=200)
    lines = [log["message"] for log in sorted(logs, key=lambda log: log["timestamp"]) if log["task_run_id"] in both]
    steps = [line.split()[:2] for line in lines if line.startswith(("> python", "done with"))]
    assert steps == [[">", "python"], ["done", "with"]] * 2  # one begins when the other has ended

    project.write("dvc.yaml", text.replace("retries: 1", "retries: often", 1))
    assert "dvc.yaml: left: meta.flow" in project.build(status=1)
    project.write("dvc.yaml", text.replace("memory: 1", "memory: 2", 1))
    assert "dvc.yaml: at_once: memory is 2 for left and 1 for right" in project.build(status=1)


@pytest.mark.slow
def test_a_recipe_is_written_into_the_parameters_before(project: "Project") -> None:
    project.write("params.yaml", "size: 1  # of it\n")
    (project.root / "infra" / "recipes").mkdir(parents=True)
    project.write("infra/recipes/large.yaml", "size: 2\n")
    assert "large.yaml: no such recipe" not in project.build("source", "--recipe", "large")
    assert (project.root / "params.yaml").read_text() == "size: 2  # of it\n"
    assert "huge.yaml: no such recipe" in project.build("source", "--recipe", "huge", status=1)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_stopped_build_leaves_no_process_and_can_be_continued(
    project: "Project", server: "Server", number: signal.Signals
) -> None:
    # A shell that runs the tests in the background has them ignore interrupts, and what they start would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    project.write("slow", "right")
    process = project.start()
    signal.signal(signal.SIGINT, before)
    pids = [int(pid) for pid in _awaited(project.root / "pids").split()]
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (project.root / "saved").exists()  # as training does when it is told to end
    if number == signal.SIGINT:
        run = server.last_run()
        assert run["state_name"] == "Cancelled"
        assert server.tasks(run["id"])["right"]["state_name"] == "Cancelled"

    (project.root / "slow").unlink()
    project.build()
    assert project.ran().count("source") == 1


@pytest.mark.parametrize(("times", "status"), [(2, 0), pytest.param(9, 1, marks=pytest.mark.slow)])
def test_a_stage_that_was_told_to_stop_is_continued_but_not_for_ever(
    project: "Project", times: int, status: int
) -> None:
    project.write("preempted", str(times))
    output = project.build("source", status=status)
    assert project.ran() == ["source"] * (min(times, 5) + 1)
    assert "told to stop, and it has saved: continues, time 2 of 5" in output
    assert ("source: told to stop; saved" in output.splitlines()[-1]) == bool(status)


@pytest.mark.parametrize(
    "list_of_locks", ['{"write": {}, "re', *(pytest.param(cut, marks=pytest.mark.slow) for cut in ("", "\0" * 40))]
)
def test_a_list_of_locks_that_a_kill_cut_off_is_made_again(project: "Project", list_of_locks: str) -> None:
    project.write(".dvc/tmp/rwlock", list_of_locks)
    project.build("source")
    assert project.ran() == ["source"]


@pytest.mark.slow
def test_a_lock_of_a_process_that_is_gone_holds_nothing_up(project: "Project") -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    holder = {"pid": gone.pid, "cmd": "dvc repro source"}
    locks = {
        "write": {str(project.root / "data" / "source"): holder},
        "read": {str(project.root / "incoming"): [holder]},
    }
    project.write(".dvc/tmp/rwlock", json.dumps(locks))
    project.write(".dvc/tmp/lock", f"{gone.pid:7}")
    project.build("source")
    assert project.ran() == ["source"]


@pytest.mark.slow
def test_two_builds_at_once_share_the_work(project: "Project") -> None:
    builds = [project.start(), project.start()]
    for build in builds:
        output, _ = build.communicate(timeout=200)
        assert build.returncode == 0, output
    assert sorted(project.ran()) == ["joined", "left", "right", "source"]


def test_without_a_server_a_build_brings_its_own(project: "Project") -> None:
    del project.environment["PREFECT_API_URL"]
    output = project.build("source")
    assert "Finished in state Completed" in output
    assert "Traceback" not in output
    assert "ERROR" not in output


def test_errors_are_one_line(project: "Project") -> None:
    assert project.build("sourse", status=1) == "error: dvc.yaml: no stage 'sourse'; did you mean 'source'?\n"
    project.environment["PREFECT_API_URL"] = "http://127.0.0.1:9/api"
    assert project.build(status=1).startswith("error: no Prefect server answers at http://127.0.0.1:9/api")
    project.write("dvc.yaml", "stages: {source: {cmd: [}")
    assert len(project.build(status=1).splitlines()) == 1


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["> python -m stages.pack", "error: pack: too few tokens", "ERROR: failed to reproduce 'pack'"],
            "too few tokens",
        ),
        (
            [
                "Traceback (most recent call last):",
                '  File "x.py", line 1',
                "ValueError: a bug",
                "ERROR: failed to run",
            ],
            "ValueError: a bug",
        ),
        (
            ["ERROR: failed to reproduce 'pack': missing data 'source': data/x"],
            "failed to reproduce 'pack': missing data 'source': data/x",
        ),
    ],
)
def test_reason(lines: list[str], expected: str) -> None:
    assert reason("pack", lines) == expected


def _rows(artifact: dict[str, str]) -> list[dict[str, str]]:

    rows: list[dict[str, str]] = json.loads(artifact["data"])
    return rows


def _awaited(path: Path) -> str:
    deadline = time.monotonic() + 100
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.1)
    return path.read_text()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
