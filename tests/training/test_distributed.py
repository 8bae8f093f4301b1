"""Several processes under torchrun: a checkpoint of two continues on any number, cut up or not."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.core.errors import HeadwaterError
from stages.training import checkpoint, distributed
from tests.conftest import ROOT
from tests.training import small_run

STEPS = 6
TRAINING: dict[str, Any] = {
    "precision": "fp32",
    "micro_batch": 1,
    "optimizer": "muon",
    "averaging": {"method": "ema", "decay": 0.5, "points": 1, "every": 1},
    "held_out": {"rows": 8, "every": 2, "patience": 0},
}


def ended(folder: Path, processes: int, name: str, execution: str = "") -> "subprocess.CompletedProcess[str]":
    """A run of the stage, as DVC starts it."""
    profile = small_run.profile(folder, processes, name)
    profile.write_text(profile.read_text() + execution)
    environment = {**os.environ, "HEADWATER_PROFILE": str(profile), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "stages.pretrain", *small_run.flags(name)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def trained(folder: Path, processes: int, name: str, execution: str) -> list[dict[str, str]]:
    """The log of a run."""
    run = ended(folder, processes, name, execution)
    assert run.returncode == 0, run.stderr
    with (folder / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_more_processes_than_gpus_are_told_so_before_they_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(HeadwaterError, match="more training processes on this machine than GPUs, of which it has 2"):
        distributed.joined()


@pytest.mark.slow
def test_more_processes_than_rows_are_one_line_of_each_before_the_first_step(tmp_path: Path) -> None:
    training = {"batch_sequences": 1, "micro_batch": 1}
    run = ended(small_run.prepare(tmp_path / "project", training=training), 2, "run")
    assert run.returncode == 1
    assert run.stderr.count("batch_sequences is 1, for 2 processes: take fewer of them") == 2
    assert "Traceback" not in run.stderr


@pytest.mark.slow
def test_machines_that_do_not_share_the_work_area_are_told_so_before_the_first_step(tmp_path: Path) -> None:
    """Each would keep its part of every checkpoint, which no run could begin with."""
    folder = small_run.prepare(tmp_path / "project", steps=2)
    place = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    machines = []
    for rank in ("0", "1"):
        profile = small_run.profile(folder, 1, f"machine{rank}")
        environment = {**place, "RANK": rank, "LOCAL_RANK": rank, "HEADWATER_PROFILE": str(profile)}
        command = [sys.executable, "-m", "stages.pretrain", *small_run.flags(f"run{rank}")]
        machines.append(subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True))
    for machine in machines:
        _, shown = machine.communicate()
        assert machine.returncode == 1, shown
        assert "1 of 2 processes do not see what the first writes: they train with one work area" in shown
        assert "Traceback" not in shown


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_checkpoint_of_two_processes_continues_on_one_on_four_and_on_copies(tmp_path: Path) -> None:
    folder = small_run.prepare(tmp_path / "project", steps=STEPS, training=TRAINING)
    whole = trained(folder, 2, "two", "")
    for name, processes, execution in (("one", 1, ""), ("four", 4, ""), ("copies", 2, "parallel: ddp\n")):
        shutil.copytree(folder / "two", folder / name)
        (last,) = (folder / name).glob(f"pretrain/*/step-{STEPS:08d}")
        shutil.rmtree(last)
        for step, other in zip(whole, trained(folder, processes, name, execution), strict=True):
            for column in ("loss", "held_out_loss"):
                assert float(other[column]) == pytest.approx(float(step[column]), rel=1e-4), (name, step["step"])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_change_that_hurts_is_learned_against_the_same_by_one_process_and_by_two(tmp_path: Path) -> None:
    training = TRAINING | {"adversarial": 1.0}
    whole = trained(small_run.prepare(tmp_path / "one", steps=STEPS, training=training), 1, "run", "")
    for execution in ("parallel: fsdp2\n", "parallel: ddp\n"):
        folder = small_run.prepare(tmp_path / execution.split()[-1], steps=STEPS, training=training)
        for step, other in zip(whole, trained(folder, 2, "run", execution), strict=True):
            for column in ("loss", "gradient_norm", "held_out_loss"):
                assert float(other[column]) == pytest.approx(float(step[column]), rel=1e-3), (execution, step["step"])


def sent(folder: Path) -> Any:
    """What a run of two processes sends, see :mod:`tests.training.messages`."""
    command = [sys.executable, "-m", "tests.training.messages", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads((folder / "messages.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("execution", "sums"), [("gradient_sync: step\n", 1), ("gradient_sync: pass\n", 4), ("parallel: ddp\n", 1)]
)
def test_gradients_are_summed_once_a_step_or_after_every_pass(tmp_path: Path, execution: str, sums: int) -> None:
    """Of eight rows two processes have four each, in four passes; FSDP2 sums each layer and the rest by itself."""
    folder = small_run.prepare(tmp_path / "project", steps=2, training={"micro_batch": 1}, execution=execution)
    messages = 1 if "ddp" in execution else small_run.PARAMS["model"]["layers"] + 1
    assert sent(folder)["sums"] == 2 * sums * messages


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "kind"), [("bf16", "torch.bfloat16"), ("fp32", "torch.float32")])
def test_matrices_of_layers_are_gathered_twice_in_their_precision_and_all_else_is_float32(
    tmp_path: Path, precision: str, kind: str
) -> None:
    """What the planner takes for granted, see stages.training.planning.budget: two steps of two passes each."""
    folder = small_run.prepare(tmp_path / "project", steps=2, training={"precision": precision})
    found = sent(folder)
    (area,) = (folder / "run").glob("pretrain/*")
    weights = checkpoint.tensors(checkpoint.place(area, 2), checkpoint.WEIGHTS)
    assert {one.dtype for one in weights.values()} == {torch.float32}
    numbers = {name: one.numel() for name, one in weights.items() if name != "model.lm_head.weight"}  # tied
    matrices = sum(count for name, count in numbers.items() if ".layers." in name and "norm" not in name)
    rest = sum(numbers.values()) - matrices
    if precision == "bf16":
        assert found["gathered"] == {kind: 4 * 2 * matrices, "torch.float32": 4 * rest}
    else:
        assert found["gathered"][kind] == pytest.approx(4 * (2 * matrices + rest), rel=0.01)
    assert found["summed"] == {"torch.float32": 2 * (matrices + rest)}
