"""A Prefect server on a free port, and a small DVC project of four stages, two of which run at the same time."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.flows import postgresql

ROOT = Path(__file__).resolve().parents[2]

PIPELINE = """
stages:
  source:
    cmd: python work.py source
    deps: [incoming]
    outs: [data/source]
    metrics: [metrics/source.json: {cache: false}]
  left:
    cmd: python work.py left data/source
    deps: [data/source]
    outs: [data/left]
    metrics: [metrics/left.json: {cache: false}]
  right:
    cmd: python work.py right data/source
    deps: [data/source]
    outs: [data/right]
    metrics: [metrics/right.json: {cache: false}]
  joined:
    cmd: python work.py joined data/left data/right
    deps: [data/left, data/right]
    outs: [data/joined]
    metrics: [metrics/joined.json: {cache: false}]

plots:
  - curve:
      template: linear
      x: step
      y:
        data/joined/log.csv: loss
      title: A curve
"""

# What a stage does is in files that are no dependencies of it, so that a test can change it and DVC does not notice.
WORK = """
import json, os, signal, subprocess, sys, time
from pathlib import Path

stage, *inputs = sys.argv[1:]
output = Path("data", stage)
output.mkdir(parents=True)
with open("ran", "a") as file:
    file.write(stage + "\\n")
if Path("broken").exists() and Path("broken").read_text() == stage:
    sys.exit(f"error: {stage}: incoming/page.html: no page")
if Path("preempted").exists() and (times := int(Path("preempted").read_text())) and stage == "source":
    Path("preempted").write_text(str(times - 1))
    print("error: source: told to stop; saved", flush=True)
    sys.exit(75)
if Path("buggy").exists() and Path("buggy").read_text() == stage:
    raise ValueError("a bug")
if Path("slow").exists() and Path("slow").read_text() == stage:
    signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), Path("saved").touch(), sys.exit(75)))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    Path("pids").write_text(f"{os.getpid()} {child.pid}")
    deadline = time.monotonic() + 300
    while Path("slow").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    child.kill()
if Path("together").exists() and stage in ("left", "right"):
    Path(f"{stage}-is-there").touch()
    deadline = time.monotonic() + 60
    while not (Path("left-is-there").exists() and Path("right-is-there").exists()):
        if time.monotonic() > deadline:
            sys.exit("error: alone")
        time.sleep(0.05)
text = "".join(Path(path, "text").read_text() for path in inputs) or Path("incoming").read_text()
(output / "text").write_text(text + stage)
(output / "log.csv").write_text("step,loss\\n1,3.5\\n2,2.5\\n")
Path("metrics").mkdir(exist_ok=True)
metrics = {"in": len(text), "out": len(text) - 1, "dropped": {"<img src=x>": 1}}
Path("metrics", stage + ".json").write_text(json.dumps(metrics))
print("done with", stage)
"""


@dataclass(frozen=True)
class Server:
    """A running Prefect server."""

    url: str

    def ask(self, path: str, method: str = "POST", **body: Any) -> Any:
        """The answer of Prefect's API to a request."""
        data = json.dumps(body).encode() if body or method == "POST" else None
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def last_run(self) -> Any:
        """The flow run that was created last."""
        return self.ask("flow_runs/filter", sort="EXPECTED_START_TIME_DESC", limit=1)[0]

    def last_build(self) -> Any:
        """The run of a build that was created last."""
        builds = {"name": {"any_": ["build"]}}
        return self.ask("flow_runs/filter", flows=builds, sort="EXPECTED_START_TIME_DESC", limit=1)[0]

    def tasks(self, run: str) -> dict[str, Any]:
        """The tasks of a flow run by name, once the server has recorded the end of each."""
        deadline = time.monotonic() + 30
        while True:
            found = self.ask("task_runs/filter", flow_runs={"id": {"any_": [run]}})
            if not any(task["state_type"] in ("PENDING", "RUNNING") for task in found):
                return {task["name"]: task for task in found}
            assert time.monotonic() < deadline, found
            time.sleep(0.2)

    def artifacts(self, run: str) -> dict[str, Any]:
        """The artifacts of a flow run by key."""
        return {one["key"]: one for one in self.ask("artifacts/filter", artifacts={"flow_run_id": {"any_": [run]}})}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The project's own server, as `python -m flows.server` starts it."""
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (home / "server.log").open("w") as log:
        command = [sys.executable, "-m", "flows.server", "--port", str(port)]
        environment = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    server = Server(f"http://127.0.0.1:{port}")
    try:
        _await(server, process, home / "server.log")
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _await(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"{server.url}/api/health", timeout=5):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgresql.PostgreSQL]:
    """A PostgreSQL, started once; each test makes databases of its own."""
    programs = postgresql.programs()
    if programs is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    with postgresql.served(programs) as server:
        yield server


@dataclass(frozen=True)
class Project:
    """A DVC project, and the environment that its builds run in."""

    root: Path
    environment: dict[str, str]

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        (self.root / name).write_text(text)

    def start(self, *arguments: str, flow: str = "build") -> subprocess.Popen[str]:
        """Start `python -m flows.<flow>` in a session of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", f"flows.{flow}", *arguments],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def build(self, *arguments: str, status: int = 0) -> str:
        """Run `python -m flows.build` to its end; what it printed."""
        return self.run("build", *arguments, status=status)

    def run(self, flow: str, *arguments: str, status: int = 0) -> str:
        """Run `python -m flows.<flow>` to its end; what it printed."""
        process = self.start(*arguments, flow=flow)
        output, _ = process.communicate(timeout=200)
        assert process.returncode == status, output
        return output

    def commit(self, message: str = "all") -> None:
        """Commit all that git does not ignore."""
        for command in (["add", "--all"], ["commit", "--quiet", "--allow-empty", "-m", message]):
            subprocess.run(["git", *command], cwd=self.root, env=self.environment, check=True)

    def git(self, *arguments: str) -> str:
        """What a git command prints."""
        return subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True).stdout

    def ran(self) -> list[str]:
        """The stages whose commands ran, in order."""
        path = self.root / "ran"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def project(tmp_path: Path, server: Server) -> Project:
    """A DVC project that was never built, whose builds use the server."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_API_URL": f"{server.url}/api"}
    environment["PREFECT_HOME"] = str(tmp_path / ".prefect")
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "test", f"GIT_{who}_EMAIL": "test@example.org"}
    project = Project(tmp_path / "project", environment)
    project.root.mkdir()
    for name, text in (("dvc.yaml", PIPELINE), ("work.py", WORK), ("incoming", "page ")):
        project.write(name, text)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=project.root, check=True)
    return project
