"""Stages that a work pool's worker builds: a real server and worker over a small project, on one machine and two."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from flows import processes
from tests.engines.hosts import network

if TYPE_CHECKING:
    from tests.flows.conftest import Project, Server

ROOT = Path(__file__).resolve().parents[2]

DEPLOYMENT = """
  - name: gpu
    entrypoint: flows/build.py:build_one
    work_pool: {name: gpu}
"""

WORKER = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "gpu"]


def place(project: "Project", *stages: str) -> None:
    """Have stages of a project built on the pool ``gpu``; its server is told of it by `deploy`."""
    text = (project.root / "dvc.yaml").read_text()
    for name in stages:
        text = text.replace(f"  {name}:\n", f"  {name}:\n    meta: {{flow: {{pool: gpu}}}}\n")
    project.write("dvc.yaml", text)
    (project.root / "infra").mkdir()
    project.write("infra/prefect.yaml", (ROOT / "infra" / "prefect.yaml").read_text() + DEPLOYMENT)
    (project.root / "flows").symlink_to(ROOT / "flows")
    project.environment["PREFECT_WORKER_QUERY_SECONDS"] = "1"
    project.environment["PREFECT_WORKER_CANCELLATION_POLL_SECONDS"] = "2"


@contextmanager
def working(project: "Project", start: Callable[..., Any] = subprocess.Popen) -> Iterator[None]:
    """A worker of the pool, which logs beside the project."""
    with (project.root.parent / "worker.log").open("w") as log:
        worker = start(WORKER, cwd=project.root, env=project.environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        worker.send_signal(signal.SIGINT)
        worker.wait(60)


def children(server: "Server", run: str) -> list[Any]:
    """The runs that workers did for the run of a build."""
    found: list[Any] = server.ask("flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run]}})
    return found


@pytest.fixture
def pool(project: "Project", server: "Server") -> Iterator["Project"]:
    """A project whose stage `right` is for a pool that its server has, and no worker yet."""
    place(project, "right")
    project.run("service", "deploy")
    yield project
    server.ask("work_pools/gpu", "DELETE")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_stage_is_built_by_the_worker_of_its_pool(pool: "Project", server: "Server") -> None:
    with working(pool):
        said = pool.build()
        run = server.last_build()
        assert run["state_name"] == "Completed", said
        tasks = server.tasks(run["id"])
        assert {task["state_name"] for task in tasks.values()} == {"Completed"}
        (child,) = children(server, run["id"])
        assert (child["name"], child["state_name"], child["work_pool_name"]) == ("right", "Completed", "gpu")
        assert child["parent_task_run_id"] == tasks["right"]["id"]
        assert "right-files" in server.artifacts(child["id"])
        nodes = [node for _, node in server.ask(f"flow_runs/{run['id']}/graph-v2", "GET")["nodes"]]
        (node,) = [node for node in nodes if node["kind"] == "flow-run"]
        assert (node["label"], node["id"]) == ("stage / right", child["id"])
        assert [parent["id"] for parent in node["parents"]] == [tasks["source"]["id"]]
        assert sorted(pool.ran()) == ["joined", "left", "right", "source"]

        pool.build()
        assert server.last_build()["state_name"] == "Cached"
        assert children(server, server.last_build()["id"]) == []  # nobody is asked where nothing has changed

        pool.write("incoming", "another page ")
        pool.build("right")
        pool.write("incoming", "page ")
        pool.build("right")
        (child,) = children(server, server.last_build()["id"])
        cached = ("Cached", "taken from DVC's cache")
        assert (child["state_name"], child["state"]["message"]) == cached
        task = server.tasks(server.last_build()["id"])["right"]
        assert (task["state_name"], task["state"]["message"]) == cached

        pool.write("broken", "right")
        pool.build("--force", "right", status=1)
        run = server.last_build()
        assert run["state"]["message"] == "right: incoming/page.html: no page"
        (child,) = children(server, run["id"])
        assert child["state"]["message"] == "incoming/page.html: no page"
        (pool.root / "broken").unlink()

        # Ctrl-C ends what the worker started too, and the next build goes on.
        pool.write("slow", "right")
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        build = pool.start("--force", "right")
        signal.signal(signal.SIGINT, before)
        _until(lambda: (pool.root / "pids").exists() and len((pool.root / "pids").read_text().split()) == 2)
        pids = [int(pid) for pid in (pool.root / "pids").read_text().split()]
        build.send_signal(signal.SIGINT)
        said, _ = build.communicate(timeout=120)
        assert build.returncode == 130, said
        _until(lambda: not any(map(processes.began, pids)))
        run = server.last_build()
        assert run["state_name"] == "Cancelled"
        assert [child["state_name"] for child in children(server, run["id"])] == ["Cancelled"]
        (pool.root / "slow").unlink()
        assert "Finished in state" in pool.build()

        # Asked for by no build, or from another folder, it does nothing.
        deployment = server.ask("deployments/name/stage/gpu", "GET")["id"]
        asked = {"name": "right", "force": True, "build": "0123456789abcdef"}
        lone = server.ask(f"deployments/{deployment}/create_flow_run", parameters=asked)["id"]
        _until(lambda: server.ask(f"flow_runs/{lone}", "GET")["state_type"] == "FAILED")
        message = server.ask(f"flow_runs/{lone}", "GET")["state"]["message"]
        assert "is not the folder of the build that asks for this" in message


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_pool_that_is_not_there_or_paused_is_one_line_and_one_without_workers_is_waited_for(
    pool: "Project", server: "Server"
) -> None:
    server.ask("work_pools/gpu", "PATCH", is_paused=True)
    assert "the work pool 'gpu' is paused: prefect work-pool resume gpu" in pool.build(status=1)
    server.ask("work_pools/gpu", "PATCH", is_paused=False)
    assert pool.ran() == []

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    build = pool.start("right")
    signal.signal(signal.SIGINT, before)
    _until(lambda: pool.ran() and children(server, server.last_build()["id"]))
    build.send_signal(signal.SIGINT)
    said, _ = build.communicate(timeout=120)
    assert "no worker of the pool gpu is online; its stages wait for one: prefect worker start --pool gpu" in said
    assert [child["state_name"] for child in children(server, server.last_build()["id"])] == ["Cancelled"]

    text = (pool.root / "dvc.yaml").read_text()
    pool.write("dvc.yaml", text.replace("pool: gpu", "pool: tpu"))
    assert "has no work pool 'tpu' with a deployment stage/tpu; add it to infra/prefect.yaml" in pool.build(status=1)

    del pool.environment["PREFECT_API_URL"]  # a server of its own has no workers
    assert "no server is up, so there are no workers: tpu: built here" in pool.build("right")
    assert pool.ran() == ["source", "right"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_machines_build_one_tree_where_a_pool_says_so(project: "Project", tmp_path: Path) -> None:
    place(project, "right")
    project.write("together", "")  # left and right wait for one another: they are built at the same time
    with network() as (one, other):
        url = f"http://{one.address}:4200/api"
        project.environment["PREFECT_API_URL"] = url
        serve = [sys.executable, "-m", "prefect", "server", "start", "--host", one.address, "--port", "4200", "--no-ui"]
        with (tmp_path / "server.log").open("w") as log:
            one.start(serve, env={**os.environ, "PREFECT_HOME": str(tmp_path / "home")}, stdout=log, stderr=log)
        ask = f"import urllib.request as r; r.urlopen('{url}/health')"
        _until(lambda: one.start([sys.executable, "-c", ask], stderr=subprocess.DEVNULL).wait() == 0)
        one.run([sys.executable, "-m", "flows.service", "deploy"], 200, env=project.environment, cwd=project.root)
        with working(project, other.start):
            done = one.run([sys.executable, "-m", "flows.build"], 400, env=project.environment, cwd=project.root)
    assert "is built by a worker of the pool gpu" in done.stdout + done.stderr
    assert sorted(project.ran()) == ["joined", "left", "right", "source"]
    bare = tmp_path / "bare"
    shutil.copytree(project.root, bare, symlinks=True, ignore=shutil.ignore_patterns("data", "metrics", "dvc.lock"))
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=bare, check=True)
    locks = [yaml.safe_load((root / "dvc.lock").read_text()) for root in (bare, project.root)]
    assert locks[0] == locks[1]
    assert (bare / "data/joined/text").read_bytes() == (project.root / "data/joined/text").read_bytes()


def _until(holds: Callable[[], Any], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.3)
