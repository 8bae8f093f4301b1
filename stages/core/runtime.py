"""How stages are executed here: the profile, which must not change the bytes of any result."""

import functools
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from stages.core.params import check, params, read

DEFAULT = Path(__file__).resolve().parents[2] / "infra" / "profiles" / "default.yaml"


@params
class Ray:
    """Engine ``ray``: tasks of a Ray cluster."""

    address: str
    """``local`` starts Ray on this machine for one stage; ``auto`` or host:port join a cluster that is there."""


@params
class Slurm:
    """Engine ``slurm``: tasks of a job array."""

    partition: str
    """Where tasks run."""
    time: str
    """Limit of a task, as Slurm writes it, such as 24:00:00."""
    memory_gb: PositiveInt
    """Memory of a task."""
    units_per_task: PositiveInt
    """Units that one task of the array builds, one after the other: more where there are many small ones."""
    options: dict[str, str]
    """Further options of sbatch, such as account or qos."""


@params
class Crawl:
    """How the source ``web`` of crawl visits sites."""

    delay: PositiveFloat
    """Seconds between two requests to a host; its robots.txt may ask for more."""
    timeout: PositiveFloat
    """Seconds that a response may take."""
    contact: str
    """URL or e-mail address that is sent along in the User-Agent, for those who run the sites."""


@params
class Saving:
    """When training saves."""

    every: PositiveInt
    """Steps between checkpoints."""
    keep_last: PositiveInt
    """Checkpoints kept; more than one lets a run go back past a damaged one."""
    keep_every: NonNegativeInt
    """Steps between checkpoints that are kept beside those, to be looked at later; 0 keeps none."""
    asynchronous: bool
    """Whether training goes on while a checkpoint is written, for the memory of one more."""


@params
class Watching:
    """Who watches a run that trains, beside TensorBoard."""

    wandb: str
    """Project at Weights & Biases; empty: none."""
    scalars: str
    """File that is given a line of JSON for each step, as a sweep reads while it waits; empty: none."""


@params
class Profile:
    """Execution settings: infra/profiles/default.yaml, and over it the YAML file that HEADWATER_PROFILE names."""

    engine: Literal["local", "ray", "slurm"]
    """What runs the document stages: processes of this machine, a Ray cluster, or Slurm."""
    workers: NonNegativeInt
    """Units of the document stages built at a time; 0 takes one per core, of this machine or of the cluster."""
    ray: Ray
    slurm: Slurm
    crawl: Crawl
    processes: PositiveInt
    """Training processes on this machine; more than one trains under torchrun."""
    parallel: Literal["fsdp2", "ddp"]
    """How a model lies across training processes: fsdp2 cuts it up; ddp keeps all of it on each, which sends less where
    it fits."""
    gradient_sync: Literal["step", "pass"]
    """When fsdp2 sums gradients over the processes: once a step, which keeps all of them, in float32, on each process
    (25 GiB for 6.7B parameters), or after every pass, which keeps a part and sends more."""
    threads: PositiveInt
    """Threads of each training process."""
    lost_after: PositiveInt
    """Seconds without an answer after which processes that train together give one another up; longer than any of them
    works alone, as the first does while it verifies a checkpoint or reads what fine-tuning learns."""
    saving: Saving
    """Checkpoints."""
    watching: Watching
    work: Path
    """Folder of the work area, relative to the project's root."""
    memory_mb: PositiveInt
    """Memory that one unit of sorting over all shards may take; with less it goes over its files in more parts."""
    work_limit_gb: NonNegativeFloat
    """Size above which the least recently used results of the work area are collected, in GB."""

    @property
    def worker_count(self) -> int:
        """Processes for the document stages, at least one."""
        return self.workers or len(os.sched_getaffinity(0))


@functools.cache
def profile() -> Profile:
    """The profile of this process.

    Raises:
        HeadwaterError: the file is missing or has a wrong key.
    """
    path = Path(os.environ.get("HEADWATER_PROFILE") or DEFAULT)
    return check(Profile, _over(read(DEFAULT), read(path)), where=str(path))


def _over(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``changes`` laid over ``values``, section by section."""
    merged = dict(values)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = _over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
