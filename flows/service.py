"""The Prefect server, a worker and the deployments of infra/prefect.yaml, in the background of this machine.

``python -m flows.service up`` starts what is not up; ``down`` ends it, and with it the runs under way, which a later
run continues; ``deploy`` tells another server of the deployments. The server listens on loopback alone and asks for a
password, which is made at the first start and lies in Prefect's home, readable by its owner only. Logs lie beside it.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import yaml
from prefect import get_client
from prefect.client.schemas.schedules import CronSchedule
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, get_current_settings, temporary_settings
from pydantic import ValidationError

from flows import command, processes, server
from stages.core.errors import HeadwaterError

DEPLOYMENTS = Path("infra/prefect.yaml")
_STAGE = "flows/build.py:build_one"  # what workers of further pools are given, see flows.pools

_PATIENCE = 90.0  # seconds for runs to end by themselves; a stage is given sixty to save where it is
_ALONE = 15.0  # seconds for a server, or for a worker without runs
SETTINGS = {
    # Runs and their logs are removed after 90 days; Prefect's own default keeps them for ever.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(90 * 86400),
    # Which run has the place of its deployment outlives the server; else a run is ended when the server comes back.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
}
"""Of every server that is meant to last."""


def up(port: int) -> str:
    """Start server and worker where they are not up, and deploy; the server's URL.

    Raises:
        HeadwaterError: a schedule is none, the port is taken, or something does not start.
    """
    pools = _checked(DEPLOYMENTS)
    if _running("server") and not server.recorded():
        _end("server")  # it is there and does not answer
    url = server.recorded()
    if url is None:
        server.require_free(port)
        server.require_space()
        print(f"starting server and worker; their logs are in {_home()}", flush=True)
        environment = {**SETTINGS, "PREFECT_SERVER_API_AUTH_STRING": server.secret(make=True) or ""}
        _start("server", [sys.executable, "-m", "flows.server", "--port", str(port)], environment)
        url = server.awaited(f"http://{server.HOST}:{port}", lambda: _running("server"), _log("server"))
    server.require_welcome(url, server.secret())
    client = {
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_API_AUTH_STRING": server.secret() or "",
        "PREFECT_HOME": str(_home().resolve()),
        "HEADWATER_ROOT": str(Path.cwd()),
    }
    with temporary_settings({PREFECT_API_URL: client["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: server.secret()}):
        _deploy(pools, client)
        if not _running("worker"):
            processes.end_lost()
            processes.begin_again(pools[0])
            command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pools[0], "--name", "local"]
            _start("worker", command, client)
    return url


def deploy() -> str:
    """Tell the server of PREFECT_API_URL of pools and deployments, for workers elsewhere; the name of the flows' pool.

    Raises:
        HeadwaterError: a schedule is none, or the server does not answer or take the password.
    """
    pools = _checked(DEPLOYMENTS)
    with server.used():
        _deploy(pools, {"HEADWATER_ROOT": os.environ.get("HEADWATER_ROOT", str(Path.cwd()))})
    return pools[0]


def down() -> list[str]:
    """End worker and server; the names of those that were up."""
    return [name for name in ("worker", "server") if _end(name)]


def _checked(path: Path) -> list[str]:
    """The work pools of a file of deployments, whose schedules are such: of the flows, then those of stages."""
    try:
        deployments = yaml.safe_load(path.read_text("utf-8"))["deployments"]
    except FileNotFoundError:
        raise HeadwaterError(f"{path}: no such file; run from the project's root") from None
    except (yaml.YAMLError, KeyError, TypeError):
        raise HeadwaterError(f"{path}: not a YAML file with `deployments`") from None
    flows: set[str] = set()
    stages: set[str] = set()
    for deployment in deployments:
        pool = str((deployment.get("work_pool") or {}).get("name"))
        (stages if deployment["entrypoint"] == _STAGE else flows).add(pool)
        if deployment["entrypoint"] == _STAGE and deployment.get("name") != pool:
            raise HeadwaterError(
                f"{path}: {_STAGE}: name {deployment.get('name')!r} must be that of its pool, {pool!r}"
            )
        for schedule in deployment.get("schedules", []):
            try:
                CronSchedule(cron=schedule["cron"], timezone=schedule.get("timezone"))
            except (ValidationError, KeyError):
                raise HeadwaterError(
                    f"{path}: {deployment['entrypoint']}: {schedule} is no schedule; such as"
                    ' {cron: "0 3 * * 0", timezone: UTC}, Sundays at three'
                ) from None
    if len(flows) != 1 or flows == {"None"}:
        named = ", ".join(sorted(flows))
        raise HeadwaterError(f"{path}: every flow must name the same work pool, but there are {named}")
    return [*flows, *sorted(stages - flows)]


def _deploy(pools: list[str], environment: Mapping[str, str]) -> None:
    """Tell the server in use of the deployments, and of those pools that it does not have: processes of a machine."""
    with get_client(sync_client=True) as client:
        there = {pool.name for pool in client.read_work_pools()}
    for pool in pools:
        if pool not in there:
            _prefect(["work-pool", "create", pool, "--type", "process"], environment)
    _prefect(["--no-prompt", "deploy", "--all", "--prefect-file", str(DEPLOYMENTS)], environment)


def _prefect(arguments: list[str], environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "prefect", *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or [f"exit status {done.returncode}"]
        raise HeadwaterError(f"prefect {' '.join(arguments[:3])}: {lines[-1].strip()}")


def _start(name: str, command: list[str], environment: Mapping[str, str]) -> None:
    """Start a process that outlives this one, and write down which it is."""
    _home().mkdir(parents=True, exist_ok=True)
    log_file = _log(name)
    if log_file.exists():
        log_file.replace(log_file.with_suffix(".before.log"))
    with log_file.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    _record(name).write_text(json.dumps({"pid": process.pid, "began": processes.began(process.pid)}), "utf-8")


def _running(name: str) -> int | None:
    """The process of that name, if it is the one that was started; another may have got its number since."""
    try:
        record = json.loads(_record(name).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    pid: int = record["pid"]
    return pid if processes.began(pid) == record["began"] else None


def _end(name: str) -> bool:
    pid = _running(name)
    if pid is None:
        return False
    runs = processes.started_by(pid)  # a worker would wait for the runs under way, which lead groups of their own
    _signal(pid, runs, signal.SIGTERM)  # they end their stages in order
    _wait(lambda: any(map(processes.began, runs)), _PATIENCE, lambda: _signal(pid, runs, signal.SIGKILL))
    # A worker that is told to end while it has runs does not always end with the last of them.
    _wait(lambda: bool(processes.of_group(pid)), _ALONE, lambda: _signal(pid, [], signal.SIGKILL))
    _record(name).unlink()
    return True


def _wait(alive: Callable[[], bool], seconds: float, kill: Callable[[], None]) -> None:
    deadline = time.monotonic() + seconds
    while alive():
        if time.monotonic() > deadline:
            kill()
        time.sleep(0.1)


def _signal(group: int, runs: Iterable[int], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
    for run in runs:
        with contextlib.suppress(ProcessLookupError):
            os.kill(run, number)


def _home() -> Path:
    home: Path = get_current_settings().home
    return home


def _record(name: str) -> Path:
    return _home() / f"{name}.pid.json"


def _log(name: str) -> Path:
    return _home() / f"{name}.log"


@command.explained
def main() -> int:
    """The command line of ``python -m flows.service``; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m flows.service", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("action", choices=["up", "down", "deploy"])
    parser.add_argument("--port", type=int, default=server.PORT, help=f"of the server (default: {server.PORT})")
    arguments = parser.parse_args()
    if arguments.action == "down":
        print(f"ended: {', '.join(down()) or 'nothing was up'}")
    elif arguments.action == "deploy":
        print(f"deployed to {deploy()}")
    else:
        print(f"Prefect UI: {up(arguments.port)}; user and password, as user:password: {server.secret_file()}")
        print(f"flows run as {DEPLOYMENTS} says: by schedule, on demand in the UI, or as commands here")
    return 0


if __name__ == "__main__":
    sys.exit(main())
