"""Where units of work are built: in processes of this machine, on a Ray cluster, or by Slurm. It changes no byte.

Ray and Slurm take it for granted that every machine sees the project's folder, its work area and its environment under
the same paths, on a shared file system. A machine whose code or libraries differ refuses to build.
"""

import concurrent.futures
import gc
import multiprocessing
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from stages.core import fingerprint
from stages.core.errors import HeadwaterError
from stages.core.runtime import profile

Jobs = Sequence[tuple[Any, ...]]
"""The arguments of one call each, in the order in which they should begin."""

_prepared: list[concurrent.futures.ProcessPoolExecutor] = []

KILLED = "a worker process was killed, most likely for want of memory; finished shards are kept: "


class Elsewhere:
    """A call that another machine makes as this one would: in the same folder, with the same code below it.

    Args:
        call: A module's own function.
        module: Whose code the call runs, see :func:`stages.core.fingerprint.code`.
    """

    def __init__(self, call: Callable[..., Any], module: str) -> None:
        self.folder = Path.cwd()
        self._call, self._module = call, module
        self._code, self._host = fingerprint.code(module), socket.gethostname()

    def __call__(self, *job: Any) -> None:
        """Call.

        Raises:
            HeadwaterError: this machine has other code or libraries, which could make other bytes.
        """
        os.chdir(self.folder)
        collect_seldom()
        if fingerprint.code(self._module) != self._code:
            raise HeadwaterError(
                f"{socket.gethostname()} has other code or libraries for {self._module} than {self._host}: "
                "give all machines one environment on a shared file system"
            )
        self._call(*job)


def collect_seldom() -> None:
    """Have Python look for reference cycles seldom, and not among what was imported.

    A page is read as thousands of tuples, each few hundred of which would begin a search: 4 % of the time of extract,
    and up to two thirds of single passes over a page's tags. Units make hardly a cycle: 500 objects in 645 pages.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def prepare() -> None:
    """Fork the worker processes of a stage while this one has imported what they need and has done nothing else yet."""
    if profile().engine == "local" and profile().worker_count > 1:
        collect_seldom()  # before they are forked: a search writes to all that it looks at, and so copies it
        context = multiprocessing.get_context("fork")
        pool = concurrent.futures.ProcessPoolExecutor(profile().worker_count, context, _end_with_parent)
        pool.submit(int).result()  # forks all of them, and begins threads after
        _prepared.append(pool)


def run(call: Callable[..., Any], jobs: Jobs, *, module: str, label: str) -> Iterator[int]:
    """Make every call by the profile's engine; yields the number of each as it is done.

    Args:
        call: What is called: a module's own function, for it is sent to other processes by name.
        jobs: Its arguments.
        module: Whose code the calls run.
        label: A name for the work, for people.

    Raises:
        HeadwaterError: from a call, or when a worker was killed, or the engine cannot be had.
    """
    engine = profile().engine
    if not jobs:
        return
    if engine == "local":
        yield from _local(call, jobs)
    elif engine == "slurm":
        from stages.core import engine_slurm

        yield from engine_slurm.run(Elsewhere(call, module), jobs, label)
    else:
        yield from _ray().run(Elsewhere(call, module), jobs, label)


def _ray() -> ModuleType:
    try:
        from stages.core import engine_ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise HeadwaterError(
            "engine ray of the execution profile: Ray is not installed: pip install '.[ray]', or take engine local"
        ) from None
    return engine_ray


def _local(call: Callable[..., Any], jobs: Jobs) -> Iterator[int]:
    workers = min(profile().worker_count, len(jobs))
    if workers <= 1:
        collect_seldom()
        for number, job in enumerate(jobs):
            call(*job)
            yield number
        return
    with _pool() as pool:
        futures = {pool.submit(call, *job): number for number, job in enumerate(jobs)}
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
                yield futures[future]
        except KeyboardInterrupt:  # else it is waited for what they have begun, and for what they take up next
            for worker in multiprocessing.active_children():
                worker.kill()
            raise
        except BrokenProcessPool:
            raise HeadwaterError(KILLED + "lower `workers` in the execution profile and run again") from None
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def _pool() -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """The workers that the stage prepared; in a process that is no stage's own, which may have threads, new ones."""
    if _prepared:
        yield _prepared[0]
        return
    context = multiprocessing.get_context("forkserver")
    with concurrent.futures.ProcessPoolExecutor(profile().worker_count, context, _begin) as pool:
        yield pool


def _begin() -> None:
    collect_seldom()
    _end_with_parent()


def _end_with_parent() -> None:
    """Have this worker end when the stage is gone: where that was killed, nobody else ends it."""
    stage = multiprocessing.parent_process()
    assert stage is not None

    def wait() -> None:
        stage.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
