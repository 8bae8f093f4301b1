"""Units of work as tasks of a Slurm job array, submitted by datatrove's executor."""

import getpass
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datatrove.executor.slurm import SlurmPipelineExecutor

from stages.core import fingerprint
from stages.core.engines import Elsewhere, Jobs
from stages.core.errors import HeadwaterError
from stages.core.runtime import profile

_POLL = 2.0  # seconds
_PATIENCE = 5  # polls after the job has left the queue, in which a shared file system may still bring news of it


class Units:
    """A step of a datatrove pipeline: the task of rank n makes the n-th call."""

    def __init__(self, call: Elsewhere, jobs: Jobs, errors: Path) -> None:
        self._call, self._jobs, self._errors = call, jobs, errors

    def __call__(self, _: Any, rank: int, world_size: int) -> None:
        """Make the call; what the user can mend is left where :func:`run` finds it, and stops no other unit."""
        try:
            self._call(*self._jobs[rank])
        except HeadwaterError as error:
            (self._errors / f"{rank:05}").write_text(str(error), "utf-8")

    def __repr__(self) -> str:
        return f"{len(self._jobs)} units"


class _Executor(SlurmPipelineExecutor):
    """Datatrove's, without the last job that merges statistics: units have metrics of their own."""

    def launch_merge_stats(self) -> None:
        pass


def run(call: Elsewhere, jobs: Jobs, label: str) -> Iterator[int]:
    """See :func:`stages.core.engines.run`."""
    area = profile().work / "slurm"
    area.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{label}-", dir=area)).resolve()
    (folder / "errors").mkdir()
    name = f"headwater-{folder.name}"
    _submit(executor(call, jobs, folder, name))
    done: set[int] = set()
    patience = _PATIENCE
    try:
        while len(done) < len(jobs) and patience:
            if not _queued(name):  # asked first: what ends from here on is seen below, or the next time
                patience -= 1
            new = {int(path.name) for path in folder.glob("completions/*")} - done
            for error in sorted(folder.glob("errors/*")):
                raise HeadwaterError(error.read_text("utf-8"))
            yield from sorted(new)
            done |= new
            if not new:
                time.sleep(_POLL)
    finally:
        if len(done) < len(jobs):
            subprocess.run(["scancel", "--name", name, "--user", getpass.getuser()], check=False)
    if len(done) < len(jobs):
        raise HeadwaterError(
            f"{len(jobs) - len(done)} of {len(jobs)} units failed under Slurm, for want of time, memory or else; "
            f"finished shards are kept: see {folder / 'slurm_logs'}, raise `slurm.time` or `slurm.memory_gb` of the "
            "profile and run again"
        )


def executor(call: Elsewhere, jobs: Jobs, folder: Path, name: str) -> SlurmPipelineExecutor:
    """The executor that submits the calls; its script, logs and completion marks are kept in ``folder``."""
    settings = profile().slurm
    variables = (
        f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH PYTHONPATH={shlex.quote(str(fingerprint.ROOT))}"
    )
    return _Executor(
        pipeline=[Units(call, jobs, folder / "errors")],
        tasks=len(jobs),
        tasks_per_job=settings.units_per_task,
        workers=profile().workers or -1,
        time=settings.time,
        partition=settings.partition,
        mem_per_cpu_gb=settings.memory_gb,
        qos="",
        sbatch_args=dict(settings.options),
        job_name=name,
        env_command=f"cd {shlex.quote(str(call.folder))} && export {variables}",
        logging_dir=str(folder),
    )


def _submit(job: SlurmPipelineExecutor) -> None:
    try:
        job.run()
    except FileNotFoundError as error:
        raise HeadwaterError(
            f"engine slurm: {error.filename} is not installed here: run on a machine from which jobs are submitted"
        ) from None
    except subprocess.CalledProcessError:  # it has said why
        raise HeadwaterError("sbatch refused the job: see `slurm` in the execution profile") from None


def _queued(name: str) -> bool:
    """Whether jobs of that name wait or run; taken to be so while Slurm does not answer."""
    asked = subprocess.run(["squeue", "--noheader", "--name", name], stdout=subprocess.PIPE, check=False)
    return asked.returncode != 0 or bool(asked.stdout.strip())
