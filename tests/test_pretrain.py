"""Pretraining as a user meets it: killed and started again, on one process and on two, and fed what does not fit."""

import csv
import json
import math
import os
import shutil
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
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForPreTraining

from stages import pretrain
from stages.core import progress, runtime
from stages.core.errors import HeadwaterError
from stages.core.params import check
from stages.training import model as models
from stages.training import snapshot
from tests.conftest import ROOT
from tests.training import small_run


def run(folder: Path, name: str, **changes: Any) -> dict[str, Any]:
    params = check(pretrain.Params, small_run.changed(**changes), "pretrain")
    outputs = {
        "model": folder / f"{name}.model",
        "snapshots": folder / f"{name}.snapshots",
        "log": folder / f"{name}.csv",
    }
    outputs["spikes"] = folder / f"{name}.spikes.json"
    inputs = {name: folder / name for name in ("tokens", "tokenizer", "earlier")}
    return pretrain.run(params, **inputs, **outputs)


def model_of(folder: Path, name: str) -> dict[str, bytes]:
    """The files of a model."""
    return {path.name: path.read_bytes() for path in sorted((folder / f"{name}.model").iterdir())}


def files(folder: Path, name: str) -> dict[str, bytes]:
    """Everything that a run left, by name: its results, and the state of model and optimizer in its checkpoints."""
    found = model_of(folder, name)
    found |= {path.parent.name: path.read_bytes() for path in (folder / f"{name}.snapshots").glob("*/*.safetensors")}
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
    rows = log_of(folder, "run")
    assert [int(row["step"]) for row in rows] == list(range(1, 11))
    assert list(rows[0]) == ["step", "tokens", "loss", "learning_rate", "gradient_norm"]
    assert rows[-1]["tokens"] == str(10 * 8 * small_run.CONTEXT) == str(metrics["tokens"])
    assert metrics["loss"] == float(rows[-1]["loss"])  # the mean over a twentieth of ten steps
    assert (metrics["in"], metrics["out"], metrics["dropped"]) == (90, 80, {"not_reached": 10})
    model = AutoModelForCausalLM.from_pretrained(folder / "run.model")
    assert metrics["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert (folder / "run.model" / "tokenizer.json").read_bytes() == (folder / "tokenizer/tokenizer.json").read_bytes()


def test_killed_at_any_instant_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    killed(
        small_run.prepare(tmp_path / "project", steps=45, asynchronous=True, snapshots=[0.2, 0.5]),
        processes=1,
        kills=4,
        seed=1,
    )


def test_earlier_steps_are_kept_as_models(profile: Path, tmp_path: Path) -> None:
    folder = small_run.prepare(tmp_path / "project")
    run(folder, "run", steps=8, snapshots=[0.01, 0.5])
    assert sorted(path.name for path in (folder / "run.snapshots").iterdir()) == ["step-00000001", "step-00000004"]
    first, middle, last = (
        AutoModelForCausalLM.from_pretrained(path).get_input_embeddings().weight
        for path in (*sorted((folder / "run.snapshots").iterdir()), folder / "run.model")
    )
    assert not torch.equal(first, middle)
    assert not torch.equal(middle, last)


EVERYTHING = {
    "optimizer": "muon",
    "adversarial": 0.5,
    "activation_checkpointing": True,
    "documents_apart": True,
    "averaging": {"method": "ema", "decay": 0.5, "points": 1, "every": 1},
    "held_out": {"rows": 10, "every": 2, "patience": 0},
}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_killed_twenty_times_it_ends_in_the_same_bytes(tmp_path: Path, asynchronous: bool) -> None:
    folder = small_run.prepare(tmp_path / "project", steps=80, every=1, asynchronous=asynchronous, training=EVERYTHING)
    killed(folder, processes=1, kills=20, seed=2)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("parallel", "asynchronous"), [("fsdp2", False), ("fsdp2", True), ("ddp", True)])
def test_two_processes_killed_at_any_instant_end_in_the_same_bytes(
    tmp_path: Path, parallel: str, asynchronous: bool
) -> None:
    execution = f"parallel: {parallel}\n"
    folder = small_run.prepare(tmp_path / "project", steps=24, every=1, asynchronous=asynchronous, execution=execution)
    killed(folder, processes=2, kills=5, seed=3)


def log_of(folder: Path, name: str) -> list[dict[str, str]]:
    """The log of a run."""
    with (folder / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def stage(folder: Path, processes: int, name: str) -> "subprocess.Popen[str]":
    """The stage as DVC runs it."""
    environment = {**os.environ, "HEADWATER_PROFILE": str(small_run.profile(folder, processes, name))}
    environment |= {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.pretrain", *small_run.flags(name)]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


# PyTorch's Muon makes matrices orthogonal in bfloat16: where two processes sum gradients in another order, an element
# is rounded to its neighbour, 1/256 away, and small singular values are enlarged many times. In six steps at a learning
# rate of 0.01 that comes to 1.1e-3; with Muon in float32, tried by hand, and with AdamW to less than 1e-5;
# where products are in bfloat16 too, to less than 1e-3.
@pytest.mark.parametrize(
    ("training", "tolerance"),
    [
        ({}, 1e-5),
        pytest.param({"precision": "bf16"}, 1e-3, marks=pytest.mark.slow),
        pytest.param({**EVERYTHING, "optimizer": "adamw"}, 1e-5, marks=pytest.mark.slow),
        pytest.param(EVERYTHING, 2e-3, marks=pytest.mark.slow),
    ],
)
def test_two_processes_share_the_work_and_agree_with_one(
    profile: Path, tmp_path: Path, training: dict[str, Any], tolerance: float
) -> None:
    changes: dict[str, Any] = {"steps": 6, "training": {"precision": "fp32", **training}}
    folder = small_run.prepare(tmp_path / "project", **changes)
    both = stage(folder, 2, "both")
    alone = run(folder, "alone", **changes)
    _, shown = both.communicate()
    assert both.returncode == 0, shown
    assert shown.count("pretrain: 100 %") == 1  # one of them speaks
    losses = {name: pytest.approx(alone[name], rel=1e-4) for name in ("loss", "held_out_loss") if name in alone}
    assert json.loads((folder / "both.json").read_text()) == alone | losses
    # Before an optimizer has enlarged anything, and once its updates have told their scale.
    for expected, found in zip(log_of(folder, "alone")[:2], log_of(folder, "both")[:2], strict=True):
        for column in ("loss", "gradient_norm"):
            assert float(found[column]) == pytest.approx(float(expected[column]), rel=1e-5)
    # The state lies across the processes, a part with each: it was really sharded.
    parts = sorted(path.name for path in (folder / "both").glob("pretrain/*/step-00000006/*.distcp"))
    assert parts == ["__0_0.distcp", "__1_0.distcp"]
    (area,) = (folder / "both").glob("pretrain/*")
    snapshot.write(area, 6, folder / "again.model", averaged="averaging" in training)
    assert model_of(folder, "again") == model_of(folder, "both")
    one, two = (load_file(folder / f"{name}.model" / "model.safetensors") for name in ("alone", "both"))
    assert one.keys() == two.keys()
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, rtol=1e-3, atol=tolerance)


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_sigterm_to_the_stage_ends_it_with_one_line_and_asks_to_be_continued(tmp_path: Path, processes: int) -> None:
    folder = small_run.prepare(tmp_path / "project", steps=100_000, epochs=10_000, asynchronous=True)
    running = stage(folder, processes, "run")
    while not list((folder / "run").glob("pretrain/*/latest")) and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGTERM)
    _, shown = running.communicate()
    assert running.returncode == 75, shown
    assert "error: pretrain: told to stop; saved at step" in shown
    if processes == 1:
        assert "Traceback" not in shown


@pytest.mark.slow
def test_processes_that_train_together_end_with_the_stage_that_is_killed(tmp_path: Path) -> None:
    folder = small_run.prepare(tmp_path / "project", steps=100_000, epochs=10_000)
    running = stage(folder, 2, "run")
    while not list((folder / "run").glob("pretrain/*/latest")) and running.poll() is None:
        time.sleep(0.02)
    running.kill()
    running.communicate(timeout=20)  # they hold its pipe: it ends when they do


def earlier(folder: Path, name: str) -> None:
    """Put the model that a run left, and its tokens, where one can be continued from."""
    shutil.copytree(folder / f"{name}.model", folder / "earlier" / "base")
    shutil.copytree(folder / "tokens", folder / "earlier" / "seen")


def test_a_model_is_continued_and_shown_again_what_it_knew(profile: Path, tmp_path: Path) -> None:
    folder = small_run.prepare(tmp_path / "project")
    first = run(folder, "first")
    earlier(folder, "first")
    more = run(folder, "more", steps=2, init_from="base")
    assert more["loss"] < first["loss"] + 0.1 < math.log(small_run.VOCABULARY) - 0.3
    mixed = run(folder, "mixed", steps=2, init_from="base", replay={"tokens": "seen", "share": 0.75})
    assert mixed["in"] == 4 * more["in"] == 4 * 90


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("tokenizer", "earlier/base was trained with another tokenizer than .*; put its own there"),
        ("context", "tokens holds rows of 16 tokens, and .*earlier/base has a context of 8: lower pack.context"),
        ("vocab_size", "earlier/base has a vocabulary of 200, and 300 are to be learned"),
        ("kind", "earlier/base: holds a model of kind t5; these can be trained: bert, gpt2"),
        ("nothing", "earlier/base: no model here"),
        ("no folder", "earlier/base: no model here"),
    ],
)
def test_a_model_that_cannot_be_continued_is_refused(profile: Path, tmp_path: Path, harm: str, said: str) -> None:
    folder = small_run.prepare(tmp_path / "project")
    base = folder / "earlier" / "base"
    base.mkdir(parents=True)
    values = small_run.changed(model={})["model"]
    sizes: dict[str, Any] = {
        "vocab_size": 200 if harm == "vocab_size" else 300,
        "context": 8 if harm == "context" else 16,
    }
    model = models.build(check(models.Architecture, values, "model"), seed=1, **sizes)
    if harm != "nothing":
        models.save(model.config, model.state_dict(), base, stop=[2])
    models.copy_tokenizer(folder / "tokenizer", base)
    if harm == "tokenizer":
        (base / "tokenizer.json").write_text('{"model": {}}')
    if harm == "kind":
        (base / "config.json").write_text('{"model_type": "t5"}')
    if harm == "no folder":
        shutil.rmtree(base)
    with pytest.raises(HeadwaterError, match=said):
        run(folder, "run", init_from="base")


@pytest.mark.parametrize("replay", [{"tokens": "seen", "share": 0.0}, {"tokens": "", "share": 0.5}])
def test_half_of_what_replay_needs_is_refused(replay: dict[str, Any]) -> None:
    with pytest.raises(HeadwaterError, match=r"pretrain\.replay: tokens says what is shown again and share how much"):
        check(pretrain.Params, small_run.changed(replay=replay), "pretrain")


def test_a_masked_model_and_its_tokenizer_fill_a_mask(profile: Path, tmp_path: Path) -> None:
    folder = small_run.prepare(tmp_path / "project")
    bert = {"kind": "bert", "kv_heads": 2}
    run(folder, "run", steps=2, model=bert, objective={"kind": "masked"})
    model = AutoModelForMaskedLM.from_pretrained(folder / "run.model")
    assert model.config.vocab_size == small_run.VOCABULARY + 1
    described = json.loads((folder / "run.model" / "tokenizer.json").read_text())
    assert [(one["content"], one["id"]) for one in described["added_tokens"]] == [("<mask>", small_run.VOCABULARY)]
    assert json.loads((folder / "run.model" / "tokenizer_config.json").read_text()) == {"mask_token": "<mask>"}


PAIRS = {
    "model": {"kind": "bert", "kv_heads": 2},
    "objective": {"kind": "masked", "masked_share": 0.3, "next_sentence": True},
}


def test_a_model_that_learned_pairs_fills_masks_and_is_continued_with_and_without_them(
    profile: Path, tmp_path: Path
) -> None:
    folder = small_run.prepare(tmp_path / "project")
    run(folder, "run", steps=2, **PAIRS)
    made = folder / "run.model"
    whole, masked = (kind.from_pretrained(made) for kind in (AutoModelForPreTraining, AutoModelForMaskedLM))
    ids = torch.arange(8, 24)[None]
    assert torch.equal(whole(input_ids=ids).prediction_logits, masked(input_ids=ids).logits)
    shutil.copytree(made, folder / "earlier" / "base")
    alone = {**PAIRS, "objective": {**PAIRS["objective"], "next_sentence": False}}
    run(folder, "masked", steps=2, init_from="base", **alone)
    assert json.loads((folder / "masked.model" / "config.json").read_text())["architectures"] == ["BertForMaskedLM"]
    shutil.rmtree(folder / "earlier" / "base")
    shutil.copytree(folder / "masked.model", folder / "earlier" / "base")
    run(folder, "again", steps=2, init_from="base", **PAIRS)
    assert AutoModelForPreTraining.from_pretrained(folder / "again.model").cls.seq_relationship is not None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"heads": 5}}, "model.heads is 5, which does not divide model.hidden, 32"),
        (
            {"training": {"batch_sequences": 91, "micro_batch": 1}},
            "90 rows to train on are too few for one batch of 91",
        ),
        ({"training": {"precision": "fp16"}}, "fp16 overflows"),
        ({"training": {"precision": "tf32"}}, "tf32 is one of NVIDIA's GPUs, and there is none here; take fp32"),
        ({"objective": {"kind": "masked"}}, "objective.kind is masked, which llama cannot learn"),
        ({"objective": {"next_sentence": True}}, "next_sentence belongs to masked: set it to false"),
        ({**PAIRS, "training": {"documents_apart": True}}, "next_sentence pairs the rows of a batch: it needs two"),
        ({"model": {"kind": "bert", "kv_heads": 2}}, "objective.kind is causal, which bert cannot learn"),
        ({"steps": 300}, "steps 300 of 8 rows need 2,400, and 20 epochs of .* give 1,800: .*epochs to 27"),
        ({"training": {"held_out": {"rows": 84, "every": 1, "patience": 0}}, "steps": 1}, r"84 of 90 are held out"),
        ({"training": {"held_out": {"rows": 0, "every": 1, "patience": 3}}}, "patience needs rows to measure"),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_step(
    profile: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    folder = small_run.prepare(tmp_path / "project")
    with pytest.raises(HeadwaterError, match=said):
        run(folder, "run", **changes)
    assert not (folder / "run.model").exists()


def test_tokens_packed_with_another_tokenizer_of_that_size_are_refused(profile: Path, tmp_path: Path) -> None:
    folder = small_run.prepare(tmp_path / "project")
    path = folder / "tokenizer" / "tokenizer.json"
    path.write_text(path.read_text().replace('"299"', '"other"'))
    with pytest.raises(HeadwaterError, match=r"tokens was packed with another tokenizer than .*: run `dvc repro pack`"):
        run(folder, "run")


def test_tokens_of_another_tokenizer_are_refused(profile: Path, tmp_path: Path) -> None:
    folder = small_run.prepare(tmp_path / "project")
    vocabulary = {"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 1}]}
    (folder / "tokenizer" / "tokenizer.json").write_text(json.dumps(vocabulary))
    with pytest.raises(HeadwaterError, match=r"vocabulary of 300, .*tokenizer has one of 2: run `dvc repro pack`"):
        run(folder, "run")


def change(folder: Path, token: int) -> None:
    """Put another id into the last row of the packed tokens."""
    shard = np.load(folder / "tokens" / "00000.npy", mmap_mode="r+")
    shard[-1, 3] = token
    shard.flush()


def test_shards_that_change_under_it_make_no_model(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_run.prepare(tmp_path / "project")
    told = progress.log

    def harm(message: str) -> None:
        told(message)
        if "100 %" in message:  # trained, and nothing written yet
            change(folder, 9)

    monkeypatch.setattr(progress, "log", harm)
    with pytest.raises(HeadwaterError, match=r"00000.npy: is not as it was packed"):
        run(folder, "run", steps=2)
    assert not (folder / "run.model").exists()
    monkeypatch.undo()
    runtime.profile.cache_clear()


def test_a_shard_that_was_changed_is_found_before_the_first_step(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small_run.prepare(tmp_path / "project")
    run(folder, "run", steps=1)
    change(folder, 9)
    capsys.readouterr()
    with pytest.raises(HeadwaterError, match=r"00000.npy: is not as it was packed, pack.json has another hash"):
        run(folder, "run", steps=1)
    assert "step" not in capsys.readouterr().err
    (folder / "tokens" / "00000.index.parquet").unlink()
    with pytest.raises(HeadwaterError, match=r"00000.index.parquet: is not as it was packed"):
        run(folder, "run", steps=1)


def test_a_token_beyond_the_vocabulary_is_found_before_the_first_step(profile: Path, tmp_path: Path) -> None:
    folder = small_run.prepare(tmp_path / "project")
    change(folder, 301)
    packed = folder / "tokens"
    small_run.describe(packed, json.loads((packed / "pack.json").read_text()))
    for _ in range(2):  # it is not noted as read
        with pytest.raises(HeadwaterError, match="row 89 holds token 301, beyond the vocabulary of 300"):
            run(folder, "run", steps=1)
    assert not list(profile.glob("pretrain/*/step-*"))
