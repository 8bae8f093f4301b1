"""How a run is started: what is printed is what torchrun, Accelerate and Slurm take."""

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from torch.distributed.run import get_args_parser

from stages.core.errors import HeadwaterError
from stages.training.planning import launch


def test_torchrun_takes_its_command() -> None:
    words = shlex.split(launch.torchrun(launch.machines(16, 8), head="node0").replace("\\\n", " "))
    assert words[0] == "torchrun"
    parsed = get_args_parser().parse_args(words[1:])
    assert (parsed.nnodes, parsed.nproc_per_node, parsed.rdzv_endpoint) == ("2", "8", "node0:29500")
    assert [parsed.training_script, *parsed.training_script_args] == launch.stage()


def test_one_machine_needs_no_meeting_point() -> None:
    assert "--standalone" in launch.torchrun(launch.machines(4, 8))
    assert launch.machines(4, 8).processes_each == 4


def test_accelerate_takes_its_command_and_reads_its_configuration(tmp_path: Path) -> None:
    file = tmp_path / "accelerate.yaml"
    file.write_text(launch.accelerate(launch.machines(16, 8), "LlamaDecoderLayer"))
    command = [line.removeprefix("# ") for line in file.read_text().splitlines() if line.startswith("#")]
    words = shlex.split("\n".join(command).replace("\\\n", " ").replace("$RANK", "1"))
    parsed = launch_command_parser().parse_args(words[2:])
    assert [parsed.training_script, *parsed.training_script_args] == launch.stage()
    config = load_config_from_file(str(file))
    assert (config.num_machines, config.num_processes) == (2, 16)
    assert config.fsdp_config["fsdp_version"] == 2
    assert yaml.safe_load(file.read_text())["fsdp_config"]["fsdp_transformer_layer_cls_to_wrap"] == "LlamaDecoderLayer"


def test_the_job_script_is_one_of_bash(tmp_path: Path) -> None:
    file = tmp_path / "job.sh"
    file.write_text(launch.sbatch(launch.machines(16, 8), "run"))
    subprocess.run(["bash", "-n", file], check=True)
    assert "#SBATCH --nodes=2" in file.read_text()


def test_machines_are_filled() -> None:
    with pytest.raises(HeadwaterError, match="--gpus 12: does not fill machines of 8"):
        launch.machines(12, 8)
