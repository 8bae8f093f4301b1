"""Build the DVC graph as a Prefect flow: one task per stage, in dependency order, independent ones at the same time.

DVC alone decides what is built and keeps what was built: Prefect caches and persists nothing. A stage that DVC finds
unchanged, or restores from its own cache, ends as Cached; one that was told to stop and has saved is continued; one
that fails says why in one line, those that need it do not run, and the others go on.
"""

import argparse
import contextlib
import dataclasses
import functools
import logging
import re
import sys
import time
from collections.abc import Mapping, Sequence

from prefect import flow, get_client, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from flows import artifacts, command, graph, pools, processes, server, tree
from flows.graph import Stage
from flows.pools import Pools
from flows.running import Commands, has_cause, reason
from stages.core import recipe as recipes
from stages.core.errors import HeadwaterError, PreemptedError

_BUSY = "it is being blocked by:"  # DVC's words for a stage that another process is building
_TOLD_TO_STOP = f", exited with {PreemptedError.code}"  # DVC's words for a stage that is to be run again
_CONTINUED = 5  # times that such a stage is continued
_SKIPPED = {
    "didn't change, skipping": "nothing has changed",
    "is cached - skipping run, checking out outputs": "taken from DVC's cache",
}  # what DVC says of a stage that it does not run
_SET_BACK = 1.0  # seconds by which a clock that is kept on time does not go back
_AGAIN = 10.0  # seconds before a stage that failed is tried again
_RETRY = 2.0  # seconds between looks at a stage that another process is building


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
        with tree.held() as held, contextlib.closing(Commands()) as commands:
            where = pools.found([stage for stage in plan if force or not stage.unchanged], held)
            return _outcome(_built(plan, force, commands, where), commands.stopped)
    except HeadwaterError as error:
        return Failed(message=str(error))


@flow(name="stage", flow_run_name="{name}", persist_result=False)
def build_one(name: str, force: bool, build: str) -> State:
    """Bring one stage up to date, those before it left as they are: what `flows.pools` has a worker do for a build.

    Args:
        name: Of the stage.
        force: Build it even where DVC finds nothing changed.
        build: The build that asks for it, and that holds the working tree.
    """
    processes.claim()
    try:
        with tree.held(build), contextlib.closing(Commands()) as commands:
            *_, stage = graph.read([name])
            here = dataclasses.replace(stage.rules, pool=None, at_once={})  # the build has its place
            alone = dataclasses.replace(stage, needs=(), rules=here)
            ended = _built([alone], force, commands, Pools({}, build))[name]
            # Without what makes it the state of a task, of which Prefect would count and tell.
            return State(type=ended.type, name=ended.name, message=ended.message)
    except HeadwaterError as error:
        return Failed(message=str(error))


def _built(plan: Sequence[Stage], force: bool, commands: Commands, where: Pools) -> dict[str, State]:
    """Build stages, each as a task; how each ended."""
    logging.getLogger("prefect.task_runs").addFilter(has_cause)
    runs: dict[str, PrefectFuture[State]] = {}
    began = time.time() - time.monotonic()
    for stage in plan:
        work = task(
            functools.partial(build_stage, stage, force, commands, where),
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
    return {name: run.state for name, run in runs.items()}


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


def build_stage(stage: Stage, force: bool, commands: Commands, where: Pools) -> State:
    """Bring one stage up to date and leave its artifacts; the work of one task."""
    before = artifacts.measured(stage.metrics)
    if stage.unchanged and not force:
        artifacts.leave(stage, before)
        return Completed(name="Cached", message="nothing has changed")
    with commands.turn(stage.rules.at_once):
        if where.elsewhere(stage):
            return where.built(stage, force, lambda: commands.stopped)
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
