"""What is seen of a run: every step once, as the log has it, with speed, memory and the place in the data."""

import json
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from accelerate import Accelerator
from tensorboardX.proto.event_pb2 import Event, SessionLog

from stages.core import runtime
from stages.core.errors import HeadwaterError
from stages.core.params import check
from stages.training.settings import Training
from stages.training.watching import Pace, watched
from tests.training.small_run import changed
from tests.training.test_loop import column, trained

NAMES = ["step", "tokens", "loss"]


def events(area: Path) -> Iterator[Event]:
    """Those of all event files in a folder, in TensorBoard's order: by name, which begins with the time."""
    for path in sorted(area.glob("events.*")):
        content = path.read_bytes()
        while content:  # length, its checksum, event, its checksum
            (length,) = struct.unpack("<Q", content[:8])
            yield Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]


def shown(area: Path) -> dict[str, list[tuple[int, float]]]:
    """Name to steps and values, as TensorBoard has them: a start drops what there is of its step and later ones."""
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events(area):
        if event.session_log.status == SessionLog.START:
            found = {name: [one for one in values if one[0] < event.step] for name, values in found.items()}
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def show(area: Path, steps: Sequence[int], done: int = 0) -> None:
    """Let some steps of a run be watched."""
    area.mkdir(exist_ok=True)
    training = check(Training, changed()["training"], "training")
    with watched(area, "test", training, done, Accelerator(), Pace(flops=1, peak=1.0, batch=8, rows=20)) as run:
        for step in steps:
            run.after(NAMES, [step, 128 * step, 1 / step], 128, 0)


def test_tensorboard_is_shown_what_the_log_has_and_how_fast_it_was(profile: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", held_out={"rows": 8, "every": 2, "patience": 0})
    found = shown(tmp_path / "run")
    for name in ("loss", "learning_rate", "gradient_norm", "held_out_loss"):
        assert [value for _, value in found[f"training/{name}"]] == pytest.approx(column(run, name), rel=1e-6), name
    assert all([step for step, _ in values] == [1, 2, 3, 4, 5, 6] for values in found.values())
    assert all(value > 0 for name in found if name.startswith(("speed/", "memory/")) for _, value in found[name])
    assert [value for _, value in found["data/epoch"]] == [0, 0, 0, 1, 1, 1]  # 32 rows, 8 a step
    assert [value for _, value in found["data/row_of_epoch"]] == [8, 16, 24, 0, 8, 16]
    assert "speed" not in run.log  # which is a result


def test_a_run_that_continues_shows_no_step_twice(profile: Path, tmp_path: Path) -> None:
    show(tmp_path / "run", [1, 2, 3, 4, 5])
    show(tmp_path / "run", [4, 5, 6, 7], done=3)  # killed at 5, with a checkpoint at 3
    assert [step for step, _ in shown(tmp_path / "run")["training/loss"]] == [1, 2, 3, 4, 5, 6, 7]
    show(tmp_path / "other", [1, 2, 3, 2, 3, 4])  # gone back to 1 after a leap of the loss
    assert [step for step, _ in shown(tmp_path / "other")["training/loss"]] == [1, 2, 3, 4]


def test_a_file_of_lines_is_given_each_step_when_it_is_done(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = profile.parent / "profile.yaml"
    file.write_text(file.read_text() + f"\nwatching: {{scalars: {tmp_path / 'lines'}}}\n")
    runtime.profile.cache_clear()
    (tmp_path / "run").mkdir()
    training = check(Training, changed()["training"], "training")
    with watched(
        tmp_path / "run", "test", training, 0, Accelerator(), Pace(flops=1, peak=1.0, batch=8, rows=20)
    ) as run:
        for step in (1, 2):
            run.after(NAMES, [step, 128 * step, 1 / step], 128, 0)
            line = json.loads((tmp_path / "lines").read_text().splitlines()[-1])
            assert (line["step"], line["training/loss"]) == (step, 1 / step)


def asked_for(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the profile of the test ask for Weights & Biases."""
    file = profile.parent / "profile.yaml"
    file.write_text(file.read_text() + "\nwatching: {wandb: headwater}\n")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    runtime.profile.cache_clear()


def test_weights_and_biases_gets_the_same_figures(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    asked_for(profile, monkeypatch)
    show(tmp_path / "run", [1, 2, 3])
    (log,) = (tmp_path / "run").glob("wandb/offline-run-*/run-run.wandb")
    content = log.read_bytes()
    assert content.count(b"training/loss") >= 3
    assert b"speed/tokens_per_second" in content


def test_without_its_package_weights_and_biases_is_refused_first(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for(profile, monkeypatch)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(HeadwaterError, match=r"watching.wandb needs a package: pip install '.\[wandb\]'"):
        show(tmp_path / "run", [1])
