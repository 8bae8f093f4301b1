"""How stages are executed here: the profile, which must not change the bytes of any result."""

import functools
import os
from pathlib import Path

from pydantic import PositiveInt

from stages.core.params import check, params, read

DEFAULT = Path("infra/profiles/default.yaml")


@params
class Saving:
    """When training saves."""

    every: PositiveInt
    """Steps between checkpoints."""
    keep_last: PositiveInt
    """Checkpoints kept; more than one lets a run go back past a damaged one."""


@params
class Profile:
    """Execution settings, from the YAML file that HEADWATER_PROFILE names, or infra/profiles/default.yaml."""

    workers: int
    """Processes for the document stages; 0 takes one per core."""
    processes: int
    """Training processes on this machine; more than one trains with FSDP2 under torchrun."""
    threads: int
    """Threads of each training process."""
    saving: Saving
    """Checkpoints."""
    work: Path
    """Folder of the work area, relative to the project's root."""
    work_limit_gb: float
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
    path = Path(os.environ.get("HEADWATER_PROFILE", DEFAULT))
    return check(Profile, read(path), where=str(path))
