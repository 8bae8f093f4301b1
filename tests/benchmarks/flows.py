"""What a flow costs over bare `dvc repro`, by processor time: with nothing to do, and with stages that do nothing.

    python -m tests.benchmarks.flows [--stages 12] [--rounds 3]

Makes a chain of stages that copy a file, and runs it with both, on a server of its own. Prints the least of the rounds,
in seconds of this machine's processor: of the command with all that it starts, and of the server meanwhile.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--stages", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = chain(Path(folder, "project"), arguments.stages)
        server, url = served(Path(folder, "prefect"))
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": str(Path(folder, "client")),
            "PREFECT_API_URL": f"{url}/api",
        }
        try:
            print(f"{arguments.stages} stages, seconds of processor time  command  server")
            for work, changes in (("nothing to do", False), ("all stages to build", True)):
                for name, module in (("dvc repro", ["dvc", "repro"]), ("flow", ["flows.build"])):
                    times = []
                    for number in range(arguments.rounds + 1):  # the first one builds, or warms up
                        if changes or number == 0:
                            Path(project, "text0").write_text(f"{name} {work} {number}")
                        times.append(_timed([sys.executable, "-m", *module], project, environment, server.pid))
                    command, meanwhile = (min(column) for column in zip(*times[1:], strict=True))
                    print(f"{work:20} {name:15} {command:16.2f} {meanwhile:8.2f}", flush=True)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def chain(project: Path, stages: int) -> Path:
    """A DVC project of stages that each copy a file."""
    project.mkdir()
    lines = [
        f"  s{number}: {{cmd: cp text{number} text{number + 1}, deps: [text{number}], outs: [text{number + 1}]}}\n"
        for number in range(stages)
    ]
    (project / "dvc.yaml").write_text("stages:\n" + "".join(lines))
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=project, check=True)
    return project


def _timed(command: list[str], project: Path, environment: dict[str, str], server: int) -> tuple[float, float]:
    """Processor seconds of a command with its children, and of the server meanwhile."""
    before = os.times(), _processor(server)
    subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)
    after = os.times()
    own = after.children_user + after.children_system - before[0].children_user - before[0].children_system
    return own, _processor(server) - before[1]


def _processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def served(home: Path) -> tuple[subprocess.Popen[bytes], str]:
    """The project's server with its database in ``home``, and its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = [sys.executable, "-m", "flows.server", "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    while True:
        try:
            with urllib.request.urlopen(f"{url}/api/health", timeout=5):
                return server, url
        except OSError:
            if server.poll() is not None:
                sys.exit("the server does not start")
            time.sleep(0.2)


if __name__ == "__main__":
    main()
