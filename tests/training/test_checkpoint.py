"""Checkpoints: a damaged or foreign one is refused by name, and the run still ends in the same bytes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training import small_run


def attempt(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_PROFILE", str(small_run.profile(folder, 1, name)))
    monkeypatch.chdir(folder)
    small_run.attempt(folder, name)


def flip(folder: Path) -> None:
    path = folder / "__0_0.distcp"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(folder: Path) -> None:
    (folder / "record.json").write_text((folder / "record.json").read_text()[:40])


def lose(folder: Path) -> None:
    (folder / ".metadata").unlink()


def take_from_another_run(folder: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps({**record, "run": "0123"}))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (flip, "__0_0.distcp is damaged"),
        (cut, "record.json is missing or damaged"),
        (lose, ".metadata is missing"),
        (take_from_another_run, "it belongs to run 0123"),
    ],
)
def test_a_bad_checkpoint_is_refused_by_name_and_the_one_before_it_is_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    harm: Callable[[Path], None],
    said: str,
) -> None:
    folder = small_run.prepare(tmp_path / "project", steps=9)
    attempt(folder, "run", monkeypatch)
    model, log = (folder / "run.model" / "model.safetensors").read_bytes(), (folder / "run.csv").read_bytes()
    (area,) = (folder / "run" / "pretrain").iterdir()
    assert sorted(path.name for path in area.glob("step-*")) == ["step-00000006", "step-00000009"]
    assert (area / "latest").read_text() == "step-00000009"
    harm(area / "step-00000009")
    (area / "step-00000012.partial").mkdir()
    capsys.readouterr()
    attempt(folder, "run", monkeypatch)
    shown = capsys.readouterr().err
    assert f"step-00000009: refused, {said}; the checkpoint before it is used" in shown
    assert "continues at step 6 of 9" in shown
    assert (folder / "run.model" / "model.safetensors").read_bytes() == model
    assert (folder / "run.csv").read_bytes() == log
    assert not (area / "step-00000012.partial").exists()
    capsys.readouterr()
    attempt(folder, "run", monkeypatch)  # the bad one was replaced by a good one
    assert "refused" not in capsys.readouterr().err


@pytest.mark.parametrize("asynchronous", [False, True])
def test_some_checkpoints_are_kept_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    folder = small_run.prepare(tmp_path / "project", steps=9, every=1, asynchronous=asynchronous)
    saving = folder / "saving.yaml"
    saving.write_text(saving.read_text().replace("keep_last: 2", "keep_last: 1, keep_every: 4"))
    attempt(folder, "run", monkeypatch)
    (area,) = (folder / "run" / "pretrain").iterdir()
    assert sorted(path.name for path in area.glob("step-*")) == ["step-00000004", "step-00000008", "step-00000009"]


def test_what_cannot_be_written_while_training_goes_on_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_run.prepare(tmp_path / "project", steps=9, asynchronous=True)
    attempt(folder, "run", monkeypatch)
    (area,) = (folder / "run" / "pretrain").iterdir()
    for path in area.glob("step-*"):
        shutil.rmtree(path)
    (area / "latest").unlink()
    (area / "latest" / "in the way").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        attempt(folder, "run", monkeypatch)


def test_when_it_saves_is_no_part_of_what_a_run_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small_run.prepare(tmp_path / "project", steps=9)
    attempt(folder, "run", monkeypatch)
    saving = (folder / "saving.yaml").read_text()
    assert "every: 3" in saving
    (folder / "saving.yaml").write_text(saving.replace("every: 3", "every: 4"))
    capsys.readouterr()
    attempt(folder, "run", monkeypatch)
    assert "continues at step 9 of 9" in capsys.readouterr().err
