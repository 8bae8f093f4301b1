"""How a run is started: what is printed is what torchrun, Accelerate and Slurm take."""

import shlex
import subprocess
import time
from pathlib import Path

import pytest
from accelerate.commands.config import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from torch.distributed.run import get_args_parser

from stages.core.errors import HeadwaterError
from stages.core.stage import GRACE
from stages.training.planning import launch


def test_torchrun_takes_its_command() -> None:
    command = launch.torchrun(launch.machines(16, 8)).replace("\\\n", " ")
    words = shlex.split(command.replace("$HEAD", "node0").replace("$RANK", "1"))
    assert words[0] == "torchrun"
    parsed = get_args_parser().parse_args(words[1:])
    assert (parsed.nnodes, parsed.nproc_per_node, parsed.node_rank) == ("2", "8", 1)
    assert (parsed.master_addr, parsed.master_port) == ("node0", 29500)
    assert parsed.shutdown_timeout == GRACE  # what saves a large model takes longer than torchrun's 30 seconds
    assert [parsed.training_script, *parsed.training_script_args] == launch.stage()


def test_one_machine_needs_no_meeting_point() -> None:
    assert "--standalone" in launch.torchrun(launch.machines(4, 8))
    assert launch.machines(4, 8).processes_each == 4


def test_accelerate_takes_its_command_and_reads_its_configuration(tmp_path: Path) -> None:
    file = tmp_path / "accelerate.yaml"
    file.write_text(launch.accelerate(launch.machines(16, 8)))
    command = [line.removeprefix("# ") for line in file.read_text().splitlines() if line.startswith("#")]
    words = shlex.split("\n".join(command).replace("\\\n", " ").replace("$RANK", "1"))
    parsed = launch_command_parser().parse_args(words[2:])
    assert [parsed.training_script, *parsed.training_script_args] == launch.stage()
    config = load_config_from_file(str(file))
    assert (config.num_machines, config.num_processes) == (2, 16)
    assert config.fsdp_config["fsdp_version"] == 2


@pytest.mark.parametrize(
    ("ending", "state", "preempted", "queued"),
    [
        (1, "RUNNING", "None", True),
        (0, "RUNNING", "None", False),
        (1, "COMPLETING", "None", False),
        (1, "COMPLETING", "2026-11-22T15:47:38", True),
    ],
)
def test_a_job_whose_time_is_over_ends_its_run_and_is_queued_again(
    tmp_path: Path, ending: int, state: str, preempted: str, queued: bool
) -> None:
    """Scripts stand in for Slurm's commands, as tests/engines shows them to behave; srun takes a while to end."""
    said = tmp_path / "said"
    told = f"trap 'sleep 0.3; echo ended >> {said}; exit {ending}' USR1"
    commands = {
        "srun": f"{told}\necho $$ > {tmp_path}/srun.pid\necho started >> {said}\nwhile true; do sleep 0.05; done",
        "scancel": f'echo scancel "$@" >> {said}\nkill -USR1 $(cat {tmp_path}/srun.pid)',
        "squeue": f"[ {state} = RUNNING ] || kill -USR1 $(cat {tmp_path}/srun.pid)\necho {state}",
        "scontrol": f'[ "$1" = show ] && echo PreemptTime={preempted}\necho "$@" >> {said}',
    }
    for name, text in commands.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    job = tmp_path / "job.sh"
    job.write_text(launch.sbatch(launch.machines(16, 8), "run"))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node[0-1]"}
    process = subprocess.Popen(["bash", job], env=environment)
    while "started" not in (said.read_text() if said.exists() else ""):
        time.sleep(0.02)
    process.terminate()
    assert process.wait() == ending
    asked = ["scancel --signal=TERM 7"] if state == "RUNNING" else []
    lines = said.read_text().splitlines()
    assert lines == ["show hostnames node[0-1]", "started", *asked, "ended", "show job 7", *["requeue 7"] * queued]


def test_machines_are_filled() -> None:
    with pytest.raises(HeadwaterError, match="--gpus 12: does not fill machines of 8"):
        launch.machines(12, 8)
