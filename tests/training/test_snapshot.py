"""Snapshots: a kept checkpoint becomes a folder that transformers loads, or one line says why it does not."""

import shutil
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from stages.core import runtime
from stages.training import snapshot
from tests.training import small_run

AVERAGED = {"averaging": {"method": "ema", "decay": 0.9, "points": 1, "every": 1}}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose run has ended in averaged weights, with the checkpoints of steps 2, 4 and 5."""
    folder = small_run.prepare(tmp_path_factory.mktemp("run") / "project", every=1, steps=5, training=AVERAGED)
    saving = folder / "saving.yaml"
    saving.write_text(saving.read_text().replace("keep_last: 2", "keep_last: 1, keep_every: 2"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADWATER_PROFILE", str(small_run.profile(folder, 1, "run")))
        patch.chdir(folder)
        small_run.attempt(folder, "run")
    runtime.profile.cache_clear()
    return folder


@pytest.fixture
def run(project: Path, profile: Path) -> Path:
    """That run, in the test's own work area."""
    shutil.copytree(project / "run", profile)
    return snapshot.newest("pretrain")


def command(monkeypatch: pytest.MonkeyPatch, *flags: object) -> None:
    monkeypatch.setattr(sys, "argv", ["snapshot", *map(str, flags)])
    snapshot.main()


def test_of_the_last_step_it_is_what_the_run_ended_in(run: Path, project: Path, tmp_path: Path) -> None:
    snapshot.write(run, 5, tmp_path / "last", averaged=True)
    for path in (project / "run.model").iterdir():
        assert (tmp_path / "last" / path.name).read_bytes() == path.read_bytes()


def test_steps_are_shown_and_the_model_of_one_is_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch)
    name, *lines = capsys.readouterr().out.splitlines()
    assert name == f"run {run.name}"
    assert [line.split(":")[0] for line in lines] == ["step 2", "step 4", "step 5"]
    command(monkeypatch, "--step", 2, "--model", tmp_path / "early")
    command(monkeypatch, "--step", 2, "--model", tmp_path / "averaged", "--averaged")
    ids = torch.arange(16)[None]
    early, averaged = (
        AutoModelForCausalLM.from_pretrained(tmp_path / name)(ids).logits for name in ("early", "averaged")
    )
    assert not torch.equal(early, averaged)
    assert (tmp_path / "early" / "tokenizer.json").is_file()


@pytest.mark.parametrize(
    ("flags", "harm", "said"),
    [
        (["--step", 3], "", "no checkpoint of step 3; there are 2, 4, 5"),
        (["--step", 4], "step-00000004/__0_0.distcp", "step-00000004: refused, __0_0.distcp is missing"),
        (["--step", 4], "model", "its checkpoints hold what an adapter adds, not a whole model"),
        (["--step", 4, "--run", "no"], "", "no checkpoints of a run no… here"),
        (["--step", 4, "--stage", "finetune"], "", "finetune: no checkpoints here"),
    ],
)
def test_what_cannot_be_written_is_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[object], harm: str, said: str
) -> None:
    if harm:
        gone = run / harm
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(SystemExit, match=f"error: .*{said}"):
        command(monkeypatch, *flags, "--model", tmp_path / "model")
    assert not (tmp_path / "model").exists()
