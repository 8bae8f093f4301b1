"""Whatever a run is asked to do, a run that continues at a checkpoint ends in the same bytes."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from stages import pretrain
from stages.core import runtime
from stages.core.params import check
from tests.training import small_run

BERT: dict[str, Any] = {
    "model": {"kind": "bert", "kv_heads": 2, "dropout": 0.1},
    "objective": {"kind": "masked", "masked_share": 0.3},
}

ROWS: dict[str, dict[str, Any]] = {
    "muon, ema, dropout, adversarial": {
        "model": {"kind": "gpt2", "kv_heads": 2, "dropout": 0.2},
        "training": {
            "optimizer": "muon",
            "adversarial": 1.0,
            "averaging": {"method": "ema", "decay": 0.9, "points": 1, "every": 1},
        },
    },
    "fill in the middle, uniform average, penalties, activation checkpointing": {
        "model": {"kind": "qwen3", "dropout": 0.2},
        "objective": {"fill_in_the_middle": 0.7},
        "training": {
            "averaging": {"method": "uniform", "decay": 0.0, "points": 3, "every": 1},
            "activation_checkpointing": True,
            "z_loss": 1e-3,
            "label_smoothing": 0.1,
        },
    },
    "best weights, documents apart": {
        "training": {"held_out": {"rows": 8, "every": 1, "patience": 6}, "documents_apart": True}
    },
    "masked": BERT,
    "masked, pairs": {**BERT, "objective": {**BERT["objective"], "next_sentence": True}},
    "masked, held out, documents apart": {
        **BERT,
        "training": {"documents_apart": True, "held_out": {"rows": 8, "every": 2, "patience": 0}, "attention": "eager"},
    },
}


def attempt(folder: Path, changes: dict[str, Any]) -> dict[str, bytes]:
    """Everything that a run leaves."""
    values = check(pretrain.Params, small_run.changed(steps=4, **changes), "pretrain")
    paths = {name: folder / name for name in ("tokens", "tokenizer", "earlier", "model", "snapshots", "spikes")}
    pretrain.run(values, **paths, log=folder / "log.csv")
    (area,) = (folder / "run" / "pretrain").iterdir()
    kept = [*(folder / "model").iterdir(), folder / "log.csv", *(area / "step-00000004").glob("*.distcp")]
    return {path.name: path.read_bytes() for path in kept}


def check_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    """Train, take the last checkpoint and the results away, train again, and expect the same."""
    folder = small_run.prepare(tmp_path / "project", every=2)
    monkeypatch.setenv("HEADWATER_PROFILE", str(small_run.profile(folder, 1, "run")))
    runtime.profile.cache_clear()
    whole = attempt(folder, changes)
    (area,) = (folder / "run" / "pretrain").iterdir()
    shutil.rmtree(area / "step-00000004")
    shutil.rmtree(folder / "model")
    (folder / "log.csv").unlink()
    capsys.readouterr()
    assert attempt(folder, changes) == whole
    assert "continues at step 2 of 4" in capsys.readouterr().err
    runtime.profile.cache_clear()


@pytest.mark.parametrize("name", ROWS)
def test_a_run_that_continues_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    check_resume(tmp_path, monkeypatch, capsys, ROWS[name])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # PyTorch's compiler uses parts of PyTorch in ways that PyTorch warns of
def test_a_compiled_run_that_continues_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check_resume(tmp_path, monkeypatch, capsys, {"training": {"compile": True, "activation_checkpointing": True}})
