"""Server, worker and deployments in the background, as `make up` starts them, over a small DVC project."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prefect.settings import PREFECT_HOME, temporary_settings

from flows import service
from stages.core.errors import HeadwaterError

if TYPE_CHECKING:
    from tests.flows.conftest import Project

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def served(project: "Project") -> Iterator["Project"]:
    """A project with the flows in it, that has no server yet; ended afterwards."""
    del project.environment["PREFECT_API_URL"]
    (project.root / "infra").mkdir()
    shutil.copy2(ROOT / "infra" / "prefect.yaml", project.root / "infra" / "prefect.yaml")
    (project.root / "flows").symlink_to(ROOT / "flows")
    yield project
    project.run("service", "down")


def free_port() -> str:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def ask(url: str, path: str, password: str, **body: Any) -> Any:
    """The answer of Prefect's API, to a POST if there is a body."""
    headers = {"Content-Type": "application/json"}
    headers["Authorization"] = f"Basic {base64.b64encode(password.encode()).decode()}"
    request = urllib.request.Request(f"{url}/api/{path}", json.dumps(body).encode() if body else None, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_deployment_started_by_api_is_built_by_the_worker(served: "Project") -> None:
    port = free_port()
    output = served.run("service", "up", "--port", port)
    url = f"http://127.0.0.1:{port}"
    assert url in output
    home = Path(served.environment["PREFECT_HOME"])
    assert (home / "password").stat().st_mode & 0o777 == 0o600
    password = (home / "password").read_text()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(url, "admin/version", "headwater:guess")

    deployments = {one["entrypoint"]: one for one in ask(url, "deployments/filter", password, limit=20)}
    assert [one["schedule"]["cron"] for one in deployments["flows/refresh.py:refresh"]["schedules"]] == ["0 3 * * 0"]
    limits = {name: one["concurrency_options"]["collision_strategy"] for name, one in deployments.items()}
    assert set(limits.values()) == {"ENQUEUE"}

    scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}, "limit": 1}
    deadline = time.monotonic() + 120
    while not ask(url, "flow_runs/filter", password, **scheduled):
        assert time.monotonic() < deadline, (home / "server.log").read_text()
        time.sleep(1)

    build = deployments["flows/build.py:build"]["id"]
    runs = [ask(url, f"deployments/{build}/create_flow_run", password, parameters={})["id"] for _ in range(2)]
    deadline = time.monotonic() + 300
    states: list[str] = []
    while not all(state in ("Completed", "Cached", "Failed", "Crashed") for state in states) or not states:
        assert time.monotonic() < deadline, (states, (home / "worker.log").read_text())
        time.sleep(2)
        states = [ask(url, f"flow_runs/{run}", password)["state_name"] for run in runs]
    assert sorted(states) == ["Cached", "Completed"], (home / "worker.log").read_text()
    assert sorted(served.ran()) == ["joined", "left", "right", "source"]

    assert "Finished in state Cached" in served.build("source")  # on the same server, with its password
    served.environment["PREFECT_API_AUTH_STRING"] = "headwater:guess"
    wrong = served.build("source", status=1)
    assert wrong == f"error: {url}: wrong user or password; set PREFECT_API_AUTH_STRING=user:password\n"
    del served.environment["PREFECT_API_AUTH_STRING"]

    assert served.run("service", "down") == "ended: worker, server\n"
    assert served.run("service", "down") == "ended: nothing was up\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Prefect's home in an empty project that is the working directory, with the deployments of this one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "infra").mkdir()
    shutil.copy2(ROOT / "infra" / "prefect.yaml", "infra/prefect.yaml")
    (tmp_path / "home").mkdir()
    with temporary_settings({PREFECT_HOME: tmp_path / "home"}):
        yield tmp_path / "home"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('cron: "0 3 * * 0"', "cron: weekly", r"flows/refresh.py:refresh: .* is no schedule; such as"),
        ("timezone: UTC", "timezone: Mars/Olympus", "is no schedule; such as"),
        ("deployments:", "deployment:", "not a YAML file with `deployments`"),
        ("work_pool: *pool", "work_pool: *spool", "not a YAML file with `deployments`"),
        (
            "work_pool: *pool",
            "work_pool: {name: gpus}",
            "must name the same work pool, but there are gpus, headwater",
        ),
        ("flows/refresh.py:refresh", "flows/build.py:build_one", "name 'local' must be that of its pool, 'headwater'"),
        (
            "work_pool: *pool",
            "description: none",
            "must name the same work pool, but there are None, headwater",
        ),
    ],
)
def test_bad_deployments_are_refused_before_anything_starts(home: Path, before: str, after: str, message: str) -> None:
    file = Path("infra/prefect.yaml")
    file.write_text(file.read_text().replace(before, after, 1))
    with pytest.raises(HeadwaterError, match=message) as refused:
        service.up(0)
    assert "\n" not in str(refused.value)
    assert list(home.iterdir()) == []


def test_a_port_that_is_taken_is_named(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(HeadwaterError, match=f"port {port} is taken"):
            service.up(port)


def test_a_record_of_a_process_that_is_gone_is_passed_over(home: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    # Another process that has got the number since is not ended: the time at which it began is another.
    for name, pid in (("server", gone.pid), ("worker", os.getpid())):
        (home / f"{name}.pid.json").write_text(json.dumps({"pid": pid, "began": "1"}))
    assert service.down() == []
