"""How to start a run on the machines of a plan: torchrun, a configuration of Accelerate, a job script of Slurm.

In all of them a bare ``--`` keeps the launcher from taking the stage's flags for abbreviations of its own.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

import yaml

from stages.core.errors import HeadwaterError
from stages.core.stage import GRACE

PIPELINE = Path("dvc.yaml")
PORT = 29500
"""Where the processes of several machines find each other."""


@dataclass(frozen=True)
class Machines:
    """Where a run is started."""

    gpus: int
    gpus_each: int
    """GPUs of one machine."""

    @property
    def count(self) -> int:
        """Machines."""
        return -(-self.gpus // self.gpus_each)

    @property
    def processes_each(self) -> int:
        """Processes of each machine, one for a GPU."""
        return self.gpus // self.count


def machines(gpus: int, gpus_each: int) -> Machines:
    """Place ``gpus`` on machines of ``gpus_each``.

    Raises:
        HeadwaterError: the last machine would be filled in part.
    """
    if gpus > gpus_each and gpus % gpus_each:
        raise HeadwaterError(
            f"--gpus {gpus}: does not fill machines of {gpus_each}; take a multiple of it, or say --gpus-per-node"
        )
    return Machines(gpus, gpus_each)


def stage(file: Path = PIPELINE) -> list[str]:
    """The module of the pretraining stage and its flags, from dvc.yaml: the one place where paths stand."""
    words = shlex.split(yaml.safe_load(file.read_text("utf-8"))["stages"]["pretrain"]["cmd"])
    return words[words.index("-m") + 1 :]


def torchrun(place: Machines, *, rank: str = "$RANK") -> str:
    """A command to be run on every machine.

    Machines are told their numbers. Where they agree on them by themselves (torchrun's c10d), the launcher of a machine
    that is cut off goes on waiting for an answer: more than six minutes after the run was over, in torch 2.13.

    Args:
        place: The machines.
        rank: The number of a machine; 0 is the one that HEAD names, at which they meet.
    """
    meeting = ["--standalone"]
    if place.count > 1:
        meeting = [f"--nnodes={place.count}", f'--node-rank="{rank}"', '--master-addr="$HEAD"', f"--master-port={PORT}"]
    processes = [f"--nproc-per-node={place.processes_each}", f"--shutdown-timeout={GRACE}"]
    words = ["torchrun", *meeting, *processes, "-m", "--", *stage()]
    return _wrapped(words)


def accelerate(place: Machines) -> str:
    """A configuration file of Accelerate and, as its first lines, the command that takes it.

    It says what stages.training.distributed asks Accelerate for, so that the two agree; how the model is cut up is not
    Accelerate's to say.
    """
    machines = [] if place.count == 1 else ['--machine_rank="$RANK"', '--main_process_ip="$HEAD"']
    command = ["accelerate", "launch", "--config_file=accelerate.yaml", *machines, "-m", "--", *stage()]
    config: dict[str, object] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "FSDP" if place.gpus > 1 else "NO",
        "mixed_precision": "no",
        "num_machines": place.count,
        "num_processes": place.gpus,
        "main_process_port": PORT,
        "rdzv_backend": "static",
        "use_cpu": False,
    }
    if place.gpus > 1:
        config["fsdp_config"] = {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "NO_WRAP",
            "fsdp_cpu_ram_efficient_loading": False,
        }
    head = "\n".join(f"# {line}" for line in _wrapped(command).splitlines())
    return f"{head}\n{yaml.safe_dump(config, sort_keys=False)}"


def sbatch(place: Machines, name: str) -> str:
    """A job script of Slurm.

    Ten minutes before its time is over Slurm tells the script, which tells the run: the step ends, a checkpoint is
    written, and the job is queued again. So it is where a job of higher priority is given its machines after a time of
    grace, of which Slurm itself tells the run. A job that is cancelled or requeued is left to Slurm.
    """
    lines = [
        "#!/bin/bash",
        f"#SBATCH --job-name={name}",
        f"#SBATCH --nodes={place.count}",
        "#SBATCH --ntasks-per-node=1",
        f"#SBATCH --gpus-per-node={place.processes_each}",
        "#SBATCH --exclusive",
        "#SBATCH --requeue",
        f"#SBATCH --signal=B:TERM@{GRACE}",
        "#SBATCH --open-mode=append",
        "#SBATCH --output=%x-%j.log",
        "",
        'export HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
        f"srun bash -c 'exec {torchrun(place, rank='$SLURM_NODEID')}' &",
        "run=$! told=",
        "tell() {  # through Slurm: told by itself, srun would kill the run",
        '    [ "$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T)" = RUNNING ] || return  # Slurm ends it',
        "    told=yes",
        '    scancel --signal=TERM "$SLURM_JOB_ID"',
        "}",
        "trap tell TERM",
        'wait "$run"; status=$?',
        'while kill -0 "$run" 2> /dev/null; do wait "$run"; status=$?; done  # a signal ends a wait, not the run',
        'if scontrol show job "$SLURM_JOB_ID" | grep -q "PreemptTime=[0-9]"; then told=yes; fi',
        'if [ -n "$told" ] && [ "$status" -ne 0 ]; then scontrol requeue "$SLURM_JOB_ID"; fi',
        'exit "$status"',
    ]
    return "\n".join(lines) + "\n"


def _wrapped(words: list[str]) -> str:
    """A command on lines of its own for each flag."""
    lines = [words[0]]
    for word in words[1:]:
        if word.startswith("-") and word != "--":
            lines.append(f"    {word}")
        else:
            lines[-1] += f" {word}"
    return " \\\n".join(lines)
