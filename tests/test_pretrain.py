"""Pretraining as a user meets it: killed and started again, on one process and on two, and fed what does not fit."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from stages import pretrain
from stages.core.errors import HeadwaterError
from stages.core.params import check
from stages.core.tokens import TokenShards
from stages.training.loss import IGNORED
from tests.conftest import ROOT
from tests.training import small_run


def run(folder: Path, name: str, **changes: Any) -> dict[str, Any]:
    params = check(pretrain.Params, small_run.changed(**changes), "pretrain")
    outputs = {"model": folder / f"{name}.model", "log": folder / f"{name}.csv"}
    return pretrain.run(params, tokens=folder / "tokens", tokenizer=folder / "tokenizer", **outputs)


def files(folder: Path, name: str) -> dict[str, bytes]:
    """Everything that a run left, by name: its results, and the state of model and optimizer in its checkpoints."""
    found = {path.name: path.read_bytes() for path in sorted((folder / f"{name}.model").iterdir())}
    found["log"] = (folder / f"{name}.csv").read_bytes()
    for path in sorted((folder / name).glob("pretrain/*/step-*/*.distcp")):
        found[f"{path.parent.name}/{path.name}"] = path.read_bytes()
    return found


def killed(folder: Path, processes: int, kills: int, seed: int) -> None:
    """Train once undisturbed and once with kills, and expect the same."""
    command = [sys.executable, "-m", "tests.training.small_run", folder, processes, kills, seed]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        list(map(str, command)), cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("killed with") == kills, ended.stdout
    assert files(folder, "killed") == files(folder, "whole")


def test_the_model_loads_and_the_log_and_the_counts_are_whole(profile: Path, tmp_path: Path) -> None:
    folder = small_run.prepare(tmp_path / "project")
    metrics = run(folder, "run", steps=10)
    with (folder / "run.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, 11))
    assert list(rows[0]) == ["step", "tokens", "loss", "learning_rate", "gradient_norm"]
    assert rows[-1]["tokens"] == str(10 * 8 * small_run.CONTEXT) == str(metrics["tokens"])
    assert metrics["loss"] == float(rows[-1]["loss"])  # the mean over a twentieth of ten steps
    assert (metrics["in"], metrics["out"], metrics["dropped"]) == (90, 80, {"not_reached": 10})
    model = AutoModelForCausalLM.from_pretrained(folder / "run.model")
    assert metrics["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert (folder / "run.model" / "tokenizer.json").read_bytes() == (folder / "tokenizer/tokenizer.json").read_bytes()


def test_padding_is_no_target(tmp_path: Path) -> None:
    folder = small_run.prepare(tmp_path / "project")
    packed, params = TokenShards(folder / "tokens"), check(pretrain.Params, small_run.PARAMS, "pretrain")
    inputs, labels, _ = pretrain.Packed(packed, pretrain._reader(params, packed)).rows(np.array([7, 8]), np.arange(2))
    assert inputs.shape == labels.shape == (2, small_run.CONTEXT)
    assert labels[0, 13:].tolist() == [IGNORED] * 3
    assert labels[1].tolist() == packed.rows([8])[0, 1:].tolist()


def test_killed_at_any_instant_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    killed(small_run.prepare(tmp_path / "project", steps=45), processes=1, kills=4, seed=1)


@pytest.mark.slow
def test_killed_twenty_times_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    killed(small_run.prepare(tmp_path / "project", steps=150, every=1), processes=1, kills=20, seed=2)


@pytest.mark.slow
def test_two_processes_killed_at_any_instant_end_in_the_same_bytes(tmp_path: Path) -> None:
    killed(small_run.prepare(tmp_path / "project", steps=24, every=1), processes=2, kills=5, seed=3)


def stage(folder: Path, processes: int, name: str) -> "subprocess.Popen[str]":
    """The stage as DVC runs it."""
    environment = {**os.environ, "HEADWATER_PROFILE": str(small_run.profile(folder, processes, name))}
    environment |= {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.pretrain", *small_run.flags(name)]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def test_two_processes_share_the_work_and_agree_with_one(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"steps": 6, "training": {"precision": "fp32"}}
    folder = small_run.prepare(tmp_path / "project", **changes)
    both = stage(folder, 2, "both")
    alone = run(folder, "alone", **changes)
    _, shown = both.communicate()
    assert both.returncode == 0, shown
    assert shown.count("pretrain: 100 %") == 1  # one of them speaks
    assert json.loads((folder / "both.json").read_text()) == {**alone, "loss": pytest.approx(alone["loss"], rel=1e-4)}
    # The state lies across the processes, a part with each: it was really sharded.
    parts = sorted(path.name for path in (folder / "both").glob("pretrain/*/step-00000006/*.distcp"))
    assert parts == ["__0_0.distcp", "__1_0.distcp"]
    one, two = (load_file(folder / f"{name}.model" / "model.safetensors") for name in ("alone", "both"))
    assert one.keys() == two.keys()
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, rtol=1e-3, atol=1e-5)


def test_sigterm_to_the_stage_ends_it_with_one_line_and_nothing_lost(tmp_path: Path) -> None:
    folder = small_run.prepare(tmp_path / "project", steps=100_000, epochs=10_000)
    running = stage(folder, 1, "run")
    while not list((folder / "run").glob("pretrain/*/latest")) and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    _, shown = running.communicate()
    assert running.returncode == 1
    assert "Traceback" not in shown
    assert "error: pretrain: told to stop; saved at step" in shown.splitlines()[-1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"heads": 5}}, "model.heads is 5, which does not divide model.hidden, 32"),
        (
            {"training": {"batch_sequences": 91, "micro_batch": 1}},
            "90 rows to train on are too few for one batch of 91",
        ),
        ({"training": {"precision": "fp16"}}, "fp16 overflows"),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_step(
    profile: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    folder = small_run.prepare(tmp_path / "project")
    with pytest.raises(HeadwaterError, match=said):
        run(folder, "run", **changes)
    assert not (folder / "run.model").exists()


def test_tokens_of_another_tokenizer_are_refused(profile: Path, tmp_path: Path) -> None:
    folder = small_run.prepare(tmp_path / "project")
    vocabulary = {"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 1}]}
    (folder / "tokenizer" / "tokenizer.json").write_text(json.dumps(vocabulary))
    with pytest.raises(HeadwaterError, match=r"vocabulary of 300, .*tokenizer has one of 2: run `dvc repro pack`"):
        run(folder, "run")


def test_a_token_beyond_the_vocabulary_is_found_before_the_first_step(profile: Path, tmp_path: Path) -> None:
    folder = small_run.prepare(tmp_path / "project")
    shard = np.load(folder / "tokens" / "00000.npy")
    shard[-1, 3] = 301
    np.save(folder / "tokens" / "00000.npy", shard)
    with pytest.raises(HeadwaterError, match="row 89 holds token 301, beyond the vocabulary of 300"):
        run(folder, "run", steps=1)
    assert not list(profile.glob("pretrain/*/step-*"))
