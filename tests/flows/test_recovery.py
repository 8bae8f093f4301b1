"""The service on PostgreSQL: runs by schedule and API, twenty at once, and worker, run and server killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flows import processes
from tests.flows.test_service import ask, free_port

if TYPE_CHECKING:
    from tests.flows.conftest import Project
    from tests.flows.postgresql import PostgreSQL

ROOT = Path(__file__).resolve().parents[2]
ENDED = ("Completed", "Cached", "Failed", "Crashed", "Cancelled")
WAITING = ("AwaitingConcurrencySlot", "Late", "Scheduled", "Pending")


@dataclass(frozen=True)
class Service:
    """`make up` in a small project, over a database of PostgreSQL's."""

    project: "Project"
    port: str

    @property
    def home(self) -> Path:
        """Where its logs and records lie."""
        return Path(self.project.environment["PREFECT_HOME"])

    def ask(self, path: str, **body: Any) -> Any:
        """An answer of Prefect's API."""
        return ask(f"http://127.0.0.1:{self.port}", path, (self.home / "password").read_text(), **body)

    def up(self) -> str:
        """`make up`; what it printed."""
        return self.project.run("service", "up", "--port", self.port)

    def trigger(self) -> str:
        """Ask for a run of the deployed build; its id."""
        deployments = {one["entrypoint"]: one["id"] for one in self.ask("deployments/filter", limit=20)}
        path = f"deployments/{deployments['flows/build.py:build']}/create_flow_run"
        run: str = self.ask(path, parameters={})["id"]
        return run

    def state(self, run: str) -> str:
        """The name of the state of a run."""
        name: str = self.ask(f"flow_runs/{run}")["state_name"]
        return name

    def states(self) -> list[str]:
        """The names of the states of all runs of the deployed build at one moment."""
        found = self.ask("flow_runs/filter", flows={"name": {"any_": ["build"]}}, limit=100)
        return [run["state_name"] for run in found]

    def ended(self, run: str) -> tuple[str, str | None]:
        """The state in which a run ends, and what is said of it."""
        self.until(lambda: self.state(run) in ENDED)
        state = self.ask(f"flow_runs/{run}")["state"]
        return state["name"], state["message"]

    def until(self, holds: Callable[[], Any], seconds: float = 240) -> None:
        """Wait for something to be so."""
        deadline = time.monotonic() + seconds
        while not holds():
            logs = [(self.home / f"{name}.log").read_text()[-3000:] for name in ("server", "worker")]
            assert time.monotonic() < deadline, "\n".join(logs)
            time.sleep(1)

    def kill(self, name: str) -> None:
        """Kill the server or the worker, and nothing that it started."""
        os.kill(json.loads((self.home / f"{name}.pid.json").read_text())["pid"], signal.SIGKILL)


@pytest.fixture
def service(project: "Project", postgres: "PostgreSQL") -> Iterator[Service]:
    """A project with the flows in it, whose service is not up yet; ended afterwards."""
    del project.environment["PREFECT_API_URL"]
    (project.root / "infra").mkdir()
    shutil.copy2(ROOT / "infra" / "prefect.yaml", project.root / "infra" / "prefect.yaml")
    (project.root / "flows").symlink_to(ROOT / "flows")
    address = postgres.database("asyncpg").render_as_string(hide_password=False)
    project.environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = address
    project.environment["PREFECT_CLIENT_MAX_RETRIES"] = "8"  # as in this project's pyproject.toml
    project.environment["PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT"] = "60"  # a busy machine takes longer than 5
    project.environment["PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS"] = "5"  # 30 else
    yield Service(project, free_port())
    project.run("service", "down")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_nothing_is_lost_when_worker_run_and_server_are_killed(service: Service, tmp_path: Path) -> None:
    project = service.project
    service.up()
    assert not (service.home / "prefect.db").exists()  # it is all in PostgreSQL

    # Worker and server are killed in the middle of a stage, the run itself is not: it ends on the server's return.
    project.write("slow", "right")
    run = service.trigger()
    service.until(lambda: (project.root / "pids").exists())
    service.kill("worker")
    service.kill("server")
    service.up()
    assert service.state(run) == "Running"
    (project.root / "slow").unlink()
    ended = service.ended(run)
    assert ended[0] == "Completed", ended
    assert sorted(project.ran()) == ["joined", "left", "right", "source"]

    # The run is killed too: the next start says so, no process of it is left, and the next run ends in the same bytes.
    project.write("incoming", "another page ")
    project.write("slow", "right")
    (project.root / "pids").unlink()
    run = service.trigger()
    service.until(lambda: (project.root / "pids").exists() and (project.root / "pids").read_text())
    pids = [int(pid) for pid in (project.root / "pids").read_text().split()]
    service.kill("worker")
    label = service.ask(f"flow_runs/{run}")["labels"]["headwater.process"]
    os.kill(int(label.split()[2]), signal.SIGKILL)
    service.until(lambda: not any(map(processes.began, pids)), seconds=120)
    service.up()
    assert service.state(run) == "Crashed"
    tasks = service.ask("task_runs/filter", flow_runs={"id": {"any_": [run]}})
    assert {task["state_type"] for task in tasks} <= {"COMPLETED", "CRASHED"}
    (project.root / "slow").unlink()
    ended = service.ended(service.trigger())
    assert ended[0] == "Completed", (ended, (service.home / "worker.log").read_text())
    running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}}
    assert service.ask("flow_runs/filter", **running) == []

    bare = tmp_path / "bare"
    shutil.copytree(project.root, bare, ignore=shutil.ignore_patterns("data", "metrics", "dvc.lock", "cache"))
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=bare, check=True)
    for name in ("dvc.lock", "data/joined/text", "metrics/joined.json"):
        assert (bare / name).read_bytes() == (project.root / name).read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_of_twenty_builds_at_once_one_builds(service: Service) -> None:
    service.up()
    service.project.write("slow", "source")
    for _ in range(20):
        service.trigger()
    service.until(lambda: (service.project.root / "pids").exists())
    service.until(lambda: service.states().count("AwaitingConcurrencySlot") > 3)
    assert service.states().count("Running") == 1
    (service.project.root / "slow").unlink()
    service.until(lambda: service.states().count("Cached") >= 3, seconds=600)
    states = service.states()
    assert len(states) == 20
    assert states.count("Completed") == 1
    assert states.count("Running") <= 1
    assert set(states) <= {"Completed", "Cached", "Running", *WAITING}
    assert sorted(service.project.ran()) == ["joined", "left", "right", "source"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_schedule_starts_a_run_and_down_ends_what_is_under_way(service: Service) -> None:
    file = service.project.root / "infra" / "prefect.yaml"
    once = "    description: Bring stages up to date; on demand.\n"
    assert once in file.read_text()
    file.write_text(file.read_text().replace(once, once + '    schedules: [{cron: "* * * * *"}]\n'))
    service.project.write("slow", "source")
    service.up()
    service.until(lambda: (service.project.root / "pids").exists())
    service.until(lambda: len((service.project.root / "pids").read_text().split()) == 2)
    pids = [int(pid) for pid in (service.project.root / "pids").read_text().split()]
    assert service.project.run("service", "down") == "ended: worker, server\n"
    assert not any(map(processes.began, pids))
    service.up()
    running = {"flow_runs": {"state": {"name": {"any_": ["Running", "Cancelling"]}}}}
    assert service.ask("flow_runs/filter", **running) == []
