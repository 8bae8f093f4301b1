"""Units of work as Ray tasks: on a Ray of this build's own on this machine, or on a cluster that is there."""

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import ray
from ray import exceptions

from stages.core import fingerprint
from stages.core.engines import KILLED, Elsewhere, Jobs
from stages.core.errors import HeadwaterError
from stages.core.runtime import profile

# Machines of a cluster come and go; a unit that ends its worker this often would go on doing so.
_TRIES = 3

_GONE = (
    exceptions.WorkerCrashedError,
    exceptions.OutOfMemoryError,
    exceptions.NodeDiedError,
    exceptions.LocalRayletDiedError,
)


def run(call: Elsewhere, jobs: Jobs, label: str) -> Iterator[int]:
    """See :func:`stages.core.engines.run`."""
    _connect()
    task = ray.remote(num_cpus=1, max_retries=0)(_call).options(name=label)
    workers = profile().workers or int(ray.cluster_resources().get("CPU", 1))
    waiting = iter(range(len(jobs)))
    running = {task.remote(call, jobs[number]): number for number in itertools.islice(waiting, workers)}
    tries: Counter[int] = Counter()
    try:
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            number = running.pop(done)
            if _succeeded(done):
                yield number
                running |= {task.remote(call, jobs[following]): following for following in itertools.islice(waiting, 1)}
                continue
            tries[number] += 1
            if tries[number] == _TRIES:
                raise HeadwaterError(KILLED + "give fewer `workers` or machines with more memory, and run again")
            running[task.remote(call, jobs[number])] = number
    finally:
        for one in running:
            ray.cancel(one, force=True)


def _connect() -> None:
    """Start Ray here, on loopback and without its web server, or join the profile's cluster; once for a process."""
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    variables = {"PYTHONPATH": str(fingerprint.ROOT)}
    if "HEADWATER_PROFILE" in os.environ:
        variables["HEADWATER_PROFILE"] = os.environ["HEADWATER_PROFILE"]
    settings: dict[str, Any] = {"runtime_env": {"env_vars": variables}, "logging_level": "error"}
    address = profile().ray.address
    try:
        if address == "local":
            # Only paths and counts pass through the object store, so it may be as small as Ray allows.
            own = {"_node_ip_address": "127.0.0.1", "include_dashboard": False, "object_store_memory": 80 << 20}
            with Starting():
                ray.init(address="local", num_cpus=profile().worker_count, **own, **settings)
        else:
            ray.init(address=address, **settings)
    except ConnectionError as error:
        said = " ".join(str(error).split())
        hint = "" if os.environ.get("RAY_AUTH_MODE") else "; if it asks for a token, set RAY_AUTH_MODE=token"
        raise HeadwaterError(f"ray.address {address} of the execution profile does not answer: {said}{hint}") from None


class Starting:
    """Says in one line that Ray's own processes were not up in the 30 s that it gives them.

    Ray tells that by a bare ``Exception``; any of a type of its own passes.
    """

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Raise a HeadwaterError for a bare ``Exception``."""
        if kind is Exception:
            said = " ".join(str(error).split())
            raise HeadwaterError(
                f"Ray did not start on this machine: {said} Run again when less is going on, or take engine local"
            ) from None


def _call(call: Elsewhere, job: tuple[Any, ...]) -> None:
    call(*job)


def _succeeded(done: Any) -> bool:
    """Whether a task ended well; false if its worker or machine is gone. Its own errors are raised as they were."""
    try:
        ray.get(done)
    except _GONE:
        return False
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, (HeadwaterError, OSError)):
            raise error.cause from None
        raise
    return True
