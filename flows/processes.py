"""Which process works on a run, and the end of runs whose process is gone.

A process that is killed, with its worker or its machine, can't tell the server: its run would be shown as running for
ever, and hold the place of the next. So each run says which process works on it, and whoever comes next on that
machine looks whether those processes are still there.
"""

import functools
import logging
import os
import socket
from pathlib import Path

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.runtime import flow_run
from prefect.states import Crashed, Scheduled

_LABEL = "headwater.process"
_UNDER_WAY = {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}}
_PAGE = 200  # runs asked for at a time, Prefect's own limit


def claim() -> None:
    """Say that this process works on the flow run that this is called in, which no longer needs its worker."""
    _outlive_reader()
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(flow_run.id, {_LABEL: _own()})


def end_lost() -> list[str]:
    """End the runs of this machine whose process is gone as Crashed, with their tasks; the names of those runs."""
    lost = []
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(_UNDER_WAY), limit=_PAGE):
            if _gone(str(run.labels.get(_LABEL, ""))):
                _end(client, run)
                lost.append(run.name)
    return lost


def begin_again(pool: str) -> None:
    """Queue the runs again that a worker of ``pool`` had taken and not begun; to be called while it has none."""
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(_UNDER_WAY), limit=_PAGE):
            if run.state_name == "Pending" and run.work_pool_name == pool and _LABEL not in run.labels:
                client.set_flow_run_state(run.id, Scheduled(message="its worker ended before it began"), force=True)


def began(pid: int) -> str | None:
    """When a process began, in ticks since the machine did; None if there is none, or one that has ended."""
    fields = _status(pid)
    return fields[19] if fields else None


def of_group(leader: int) -> list[int]:
    """The processes of a group that have not ended."""
    numbers = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())
    return [pid for pid in numbers if (fields := _status(pid)) and int(fields[2]) == leader]


def started_by(leader: int) -> list[int]:
    """The processes that those of a group have started as leaders of groups of their own, and that have not ended."""
    numbers = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())
    members = of_group(leader)
    return [
        pid for pid in numbers if (fields := _status(pid)) and int(fields[1]) in members and int(fields[2]) != leader
    ]


def _outlive_reader() -> None:
    """Have this process go on where nobody reads what it prints, as when its worker is killed; the server has the log.

    Prefect prints by way of rich, which ends a process then.
    """
    for logger in (logging.getLogger(), logging.getLogger("prefect")):
        for handler in logger.handlers:
            if isinstance(handler, PrefectConsoleHandler):
                handler.console.on_broken_pipe = functools.partial(setattr, handler.console, "quiet", True)


def _status(pid: int) -> list[str] | None:
    """What Linux says of a process from its state on (proc(5), from the third field); None of one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields


def _own() -> str:
    """Machine, boot, number and beginning of this process: no other one has them, whatever the clock says."""
    return " ".join([*_machine(), str(os.getpid()), str(began(os.getpid()))])


def _machine() -> tuple[str, str]:
    return socket.gethostname(), Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _gone(owner: str) -> bool:
    host, boot = _machine()
    match owner.split(" "):
        case [theirs, since, pid, ticks] if theirs == host:
            return since != boot or began(int(pid)) != ticks
    return False  # of another machine, or of none: nothing is known here


def _end(client: SyncPrefectClient, run: FlowRun) -> None:
    state = Crashed(message="its process is gone; what is finished is kept, run again to continue")
    client.set_flow_run_state(run.id, state, force=True)
    tasks = client.read_task_runs(
        flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run.id]}}),
        task_run_filter=TaskRunFilter.model_validate(_UNDER_WAY),
    )
    for task in tasks:
        try:
            client.set_task_run_state(task.id, state, force=True)
        except ObjectNotFound:  # the server removed the run meanwhile
            return
