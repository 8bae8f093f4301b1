"""Stages that the worker of a work pool builds, where ``meta: {flow: {pool: …}}`` of dvc.yaml names the pool.

The build asks for a run of the deployment ``stage/<pool>`` in the stage's place, and waits for how it ends. That run
works on the same folder: it is told which build holds the working tree, and finds that it stands in it. DVC's locks
hold between machines for stages that need nothing of one another, and no others run at the same time.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from prefect import get_client, get_run_logger
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State, WorkPoolStatus
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run, task_run
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Cancelling, Completed, Failed

from flows import server
from flows.graph import Stage
from stages.core.errors import HeadwaterError

_LOOK = 1.0  # seconds between looks at a run
_PATIENCE = 90.0  # seconds for a worker to end a run that is cancelled; a stage is given sixty to save where it is


@dataclass(frozen=True)
class Pools:
    """Where the stages of a build are built."""

    deployments: dict[str, UUID]
    """Of the pools other than the one that the build itself runs in."""
    build: str
    """What says that the build holds the working tree, see `flows.tree`."""

    def elsewhere(self, stage: Stage) -> bool:
        """Whether a worker of another pool builds a stage."""
        return stage.rules.pool in self.deployments

    def built(self, stage: Stage, force: bool, stopped: Callable[[], bool]) -> State:
        """Have a stage built by a worker of its pool; how that ended. ``stopped`` tells whether it is to end."""
        pool = str(stage.rules.pool)
        get_run_logger().info("is built by a worker of the pool %s", pool)
        with get_client(sync_client=True) as client:
            run = client.create_flow_run_from_deployment(
                self.deployments[pool],
                parameters={"name": stage.name, "force": force, "build": self.build},
                name=stage.name,
                parent_task_run_id=UUID(task_run.id),
            ).id
            while not (state := _state(client, run)).is_final():
                if stopped():
                    return _cancelled(client, run, pool)
                time.sleep(_LOOK)
        return _told(state, pool)


def found(stages: Sequence[Stage], build: str) -> Pools:
    """The pools that ``stages`` name, for those that are to be built.

    A server that lasts only as long as the flow has no workers: all is built where the flow runs.

    Raises:
        HeadwaterError: the server has no such pool, or it is paused.
    """
    wanted = sorted({stage.rules.pool for stage in stages if stage.rules.pool})
    if wanted and server.temporary():
        get_run_logger().info("no server is up, so there are no workers: %s: built here", ", ".join(wanted))
    if not wanted or server.temporary():
        return Pools({}, build)
    with get_client(sync_client=True) as client:
        here = client.read_flow_run(flow_run.root_flow_run_id).work_pool_name
        return Pools({pool: _deployment(client, pool) for pool in wanted if pool != here}, build)


def _deployment(client: SyncPrefectClient, name: str) -> UUID:
    """The deployment by which stages are built on a pool."""
    try:
        pool, deployment = client.read_work_pool(name), client.read_deployment_by_name(f"stage/{name}")
    except ObjectNotFound:
        url = get_current_settings().api.url
        raise HeadwaterError(
            f"dvc.yaml: {url} has no work pool {name!r} with a deployment stage/{name}; add it to infra/prefect.yaml"
            " and `make up` (see infra/README.md), or name no pool in dvc.yaml"
        ) from None
    if pool.is_paused or deployment.paused:
        raise HeadwaterError(f"the work pool {name!r} is paused: prefect work-pool resume {name}")
    if pool.status != WorkPoolStatus.READY:
        get_run_logger().warning(
            "no worker of the pool %s is online; its stages wait for one: prefect worker start --pool %s", name, name
        )
    return deployment.id


def _state(client: SyncPrefectClient, run: UUID) -> State:
    try:
        state: State = client.read_flow_run(run).state
    except ObjectNotFound:
        return Cancelled(message="its run was deleted")
    return state


def _cancelled(client: SyncPrefectClient, run: UUID, pool: str) -> State:
    """Cancel a run and wait for its processes to end."""
    client.set_flow_run_state(run, Cancelling())  # the server makes it Cancelled where none has begun it
    deadline = time.monotonic() + _PATIENCE
    while not _state(client, run).is_final():
        if time.monotonic() > deadline:
            return Cancelled(message=f"stopped; no worker of the pool {pool} has said that it ended the stage")
        time.sleep(_LOOK)
    return Cancelled(message="stopped; what it has finished is kept")


def _told(state: State, pool: str) -> State:
    """How a stage ended whose run ended so."""
    if state.is_completed():
        return Completed(name=state.name, message=state.message)
    if state.is_failed():
        return Failed(message=state.message)
    return Failed(message=f"its run on the pool {pool} ended as {state.name}: {state.message or 'no reason given'}")
