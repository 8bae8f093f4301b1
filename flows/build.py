"""Build the DVC graph as a Prefect flow: one task per stage, in dependency order, independent ones at the same time.

DVC alone decides what is built and keeps what was built: Prefect caches and persists nothing. A stage that DVC finds
unchanged, or restores from its own cache, ends as Cached; one that was told to stop and has saved is continued; one
that fails says why in one line, those that need it do not run, and the others go on.
"""

import argparse
import collections
import contextlib
import functools
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from prefect import flow, get_client, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows import artifacts, command, graph, guard, processes, server, tree, warm
from flows.graph import Stage
from stages.core import recipe as recipes
from stages.core.errors import HeadwaterError, PreemptedError

_BUSY = "it is being blocked by:"  # DVC's words for a stage that another process is building
_TOLD_TO_STOP = f", exited with {PreemptedError.code}"  # DVC's words for a stage that is to be run again
_CONTINUED = 5  # times that such a stage is continued
_SKIPPED = {
    "didn't change, skipping": "nothing has changed",
    "is cached - skipping run, checking out outputs": "taken from DVC's cache",
}  # what DVC says of a stage that it does not run
# DVC's advice after every stage; said once too often it hides the log.
_HINTS = (
    "To track the changes",
    "\tgit add ",
    "To enable auto staging",
    "\tdvc config core.autostage",
    "Use `dvc push`",
    "To apply the results of an experiment",  # `python -m flows.apply` does
    "  dvc exp apply",
)
_SET_BACK = 1.0  # seconds by which a clock that is kept on time does not go back
_AGAIN = 10.0  # seconds before a stage that failed is tried again
_RETRY = 2.0  # seconds between looks at a stage that another process is building


class Commands:
    """The commands of this run that are under way, so that all can be stopped at once."""

    def __init__(self) -> None:
        self.stopped = False
        self._lock = threading.Lock()
        self._running: set[guard.Process] = set()
        # `python` in a stage's command is the one that runs this, also where its environment is not activated.
        self._path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        self._dvc: warm.Dvc | None = None
        self._pools: dict[str, threading.Lock] = collections.defaultdict(threading.Lock)

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        started: Callable[[guard.Guarded], None] | None = None,
    ) -> tuple[int, list[str]]:
        """Run ``command`` and log each line that it prints; its exit status and those lines.

        Args:
            command: With its arguments.
            environment: What it has beside this process's own.
            started: Told of the process, which it may stop.
        """

        def start() -> guard.Process:
            process = guard.start(command, {"PATH": self._path, **(environment or {})})
            if started:
                started(process)
            return process

        return self._followed(start)

    def dvc(self, *arguments: str) -> tuple[int, list[str]]:
        """Run a command of DVC likewise, without the time that DVC takes to load."""

        def start() -> guard.Process:
            self._dvc = self._dvc or warm.Dvc(self._path)
            return self._dvc.start(arguments)

        return self._followed(start)

    def turn(self, pool: str | None) -> contextlib.AbstractContextManager[object]:
        """Hold a pool, which one stage does at a time; None is none."""
        with self._lock:
            return self._pools[pool] if pool else contextlib.nullcontext()

    def close(self) -> None:
        """End what has DVC loaded."""
        with self._lock:
            if self._dvc:
                self._dvc.close()

    def _followed(self, start: Callable[[], guard.Process]) -> tuple[int, list[str]]:
        logger = get_run_logger()
        lines = []
        with self._lock:
            if self.stopped:
                return -1, []
            process = start()
            self._running.add(process)
        assert process.stdout is not None
        for line in process.stdout:
            line = line.rstrip()
            if line and not line.startswith(_HINTS):
                lines.append(line)
                logger.log(logging.ERROR if line.lower().startswith("error: ") else logging.INFO, "%s", line)
        with self._lock:
            self._running.remove(process)
            guard.stop(process)
        return process.wait(), lines

    def stop(self) -> None:
        """End every command with all that it started, and let no new one begin."""
        with self._lock:
            self.stopped = True
            for process in self._running:
                guard.stop(process)


def _run_name() -> str:
    return ", ".join(flow_run.parameters["stages"]) or "whole graph"


@flow(name="build", flow_run_name=_run_name, persist_result=False)
def build(stages: tuple[str, ...] = (), force: bool = False, recipe: str | None = None) -> State:
    """Bring stages up to date, each after those that it needs.

    Args:
        stages: Names of the stages to build, with all that they need; none stands for the whole graph.
        force: Build them even where DVC finds nothing changed.
        recipe: File of infra/recipes, by its name, whose values are written into params.yaml before.
    """
    processes.claim()
    try:
        if recipe and (difference := recipes.apply(recipe)):
            get_run_logger().info("%s", difference)
        plan = graph.read(stages)
        with tree.held(), contextlib.closing(Commands()) as commands:
            return _built(plan, force, commands)
    except HeadwaterError as error:
        return Failed(message=str(error))


def _built(plan: Sequence[Stage], force: bool, commands: Commands) -> State:
    logging.getLogger("prefect.task_runs").addFilter(has_cause)
    runs: dict[str, PrefectFuture[State]] = {}
    began = time.time() - time.monotonic()
    for stage in plan:
        work = task(
            functools.partial(build_stage, stage, force, commands),
            name=stage.name,
            task_run_name=stage.name,
            cache_policy=NO_CACHE,
            persist_result=False,
        )
        runs[stage.name] = work.submit(wait_for=[runs[name] for name in stage.needs])
    try:
        wait(list(runs.values()))
    except (KeyboardInterrupt, TerminationSignal) as signal:
        commands.stop()
        wait(list(runs.values()))
        if isinstance(signal, TerminationSignal):
            raise  # Prefect knows whether it was sent to cancel
    _close(plan, runs, set_back=time.time() - time.monotonic() < began - _SET_BACK)
    return _outcome({name: run.state for name, run in runs.items()}, commands.stopped)


def has_cause(record: logging.LogRecord) -> bool:
    """Whether a record is worth showing; Prefect logs a failed state with the traceback of no exception."""
    return record.exc_info != (None, None, None)


def _close(plan: Sequence[Stage], runs: Mapping[str, PrefectFuture[State]], set_back: bool) -> None:
    """End the tasks that Prefect leaves as they were, and that the UI would show so for ever.

    Those that did not run are left pending. And where the clock was set back (``set_back``), the server takes the end
    of a task for older than its beginning, and passes it over.
    """
    with get_client(sync_client=True) as client:
        for stage in plan:
            run, state = runs[stage.name].task_run_id, runs[stage.name].state
            if not state.is_final():
                missing = [name for name in stage.needs if not runs[name].state.is_completed()]
                state = Cancelled(name="NotReady", message=f"needs {', '.join(missing)}")
            elif not set_back:
                continue
            client.set_task_run_state(run, state, force=True)
            client.set_task_run_name(run, stage.name)  # given only to those that begin


def build_stage(stage: Stage, force: bool, commands: Commands) -> State:
    """Bring one stage up to date and leave its artifacts; the work of one task."""
    before = artifacts.measured(stage.metrics)
    if stage.unchanged and not force:
        artifacts.leave(stage, before)
        return Completed(name="Cached", message="nothing has changed")
    with commands.turn(stage.rules.pool):
        status, lines = _made(stage, force, commands)
        for again in range(1, stage.rules.retries + 1):
            if not status or commands.stopped:
                break
            get_run_logger().warning("failed, and is tried again, time %d of %d", again, stage.rules.retries)
            time.sleep(_AGAIN)
            status, lines = _made(stage, force, commands)
    if commands.stopped:
        return Cancelled(message="stopped; what it has finished is kept")
    if status:
        return Failed(message=reason(stage.name, lines))
    artifacts.leave(stage, before)
    if skipped := _SKIPPED.get(_after_name(stage.name, lines)):
        return Completed(name="Cached", message=skipped)
    return Completed()


def _made(stage: Stage, force: bool, commands: Commands) -> tuple[int, list[str]]:
    """Have DVC build a stage; its exit status and what it printed."""
    command = ["--wait-for-lock", "repro", "--single-item", stage.name]
    status, lines = commands.dvc(*command, *(["--force"] if force else []))
    while status and not commands.stopped and any(_BUSY in line for line in lines):
        get_run_logger().info("another process is building this stage; waiting for it")
        time.sleep(_RETRY)
        status, lines = commands.dvc(*command)
    for again in range(1, _CONTINUED + 1):
        if not status or commands.stopped or not any(_TOLD_TO_STOP in line for line in lines):
            break
        get_run_logger().warning("told to stop, and it has saved: continues, time %d of %d", again, _CONTINUED)
        status, lines = commands.dvc(*command)
    return status, lines


def reason(stage: str, lines: Sequence[str]) -> str:
    """Why a stage failed, in one line: its own error, else the last line of its traceback, else what DVC says."""
    for line in reversed(lines):
        if line.startswith("error: "):
            return line.removeprefix("error: ").removeprefix(f"{stage}: ")
    traces = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last):")]
    if traces:
        return next((line for line in lines[traces[-1] + 1 :] if not line.startswith(" ")), lines[-1])
    return next((line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")), "no reason given")


def _after_name(stage: str, lines: Sequence[str]) -> str:
    """What DVC's first line about ``stage`` says of it."""
    for line in lines:
        if match := re.fullmatch(rf"(?:Stage )?'{re.escape(stage)}' (.*)", line):
            return match[1]
    return ""


def _outcome(states: dict[str, State], stopped: bool) -> State:
    failed = {name: state.message for name, state in states.items() if state.is_failed()}
    if stopped:
        return Cancelled(message="stopped; what is finished is kept, run again to continue")
    if failed:
        return Failed(message="; ".join(f"{name}: {message}" for name, message in failed.items()))
    if all(state.name == "Cached" for state in states.values()):
        return Completed(name="Cached", message="nothing has changed")
    return Completed()


@command.explained
def main() -> int:
    """The command line of ``python -m flows.build``; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m flows.build", description="Build the DVC graph as a Prefect flow.")
    parser.add_argument("stages", nargs="*", help="stages to build, with all that they need (default: the whole graph)")
    parser.add_argument("--force", action="store_true", help="build them even where nothing has changed")
    parser.add_argument("--recipe", help="file of infra/recipes, whose values are written into params.yaml before")
    arguments = parser.parse_args()
    graph.check(arguments.stages)
    with server.used():
        state = build(tuple(arguments.stages), arguments.force, arguments.recipe, return_state=True)
    return 0 if state.is_completed() else 130 if state.is_cancelled() else 1


if __name__ == "__main__":
    sys.exit(main())
