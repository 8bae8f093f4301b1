"""Steps that cannot be learned from: they change nothing, are put on record, and repeat themselves after a kill."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.core.errors import HeadwaterError
from stages.core.order import Integers
from stages.core.params import check
from stages.training import model as models
from stages.training import spikes
from stages.training.data import Rows
from stages.training.loop import Trained, train
from stages.training.settings import Spikes, Training
from tests.training.small_run import changed

BATCH, POISON = 8, 63
RULE = {"action": "skip", "deviations": 6.0, "window": 4, "limit": 2, "every": 4}


class Poisoned:
    """Rows that depend on their position alone, and in some batches hold a token whose embedding is no number.

    Args:
        batches: Those batches.
        since: From this batch on,
        later: rows come from so many batches later.
    """

    def __init__(self, batches: set[int], since: int = 0, later: int = 0) -> None:
        self.batches, self.since, self.later = batches, since, later
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 400

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        self.asked += positions.tolist()
        batches = positions // BATCH
        places = np.where(batches >= self.since, positions + self.later * BATCH, positions)
        ids = np.stack([np.random.default_rng(place).integers(8, POISON, 17) for place in places])
        ids[np.isin(batches, list(self.batches)), 3] = POISON
        return Rows(ids[:, :-1], ids[:, 1:])

    def sources(self, indices: Integers) -> list[str]:
        return [f"row {row}" for row in indices]


def trained(area: Path, data: Poisoned, steps: int = 12, **rule: Any) -> Trained:
    area.mkdir(exist_ok=True)
    schedule = {"shape": "wsd", "peak": 0.01, "warmup": 0, "decay": 0.0, "final": 0.0}
    training = {"precision": "fp32", "schedule": schedule, "micro_batch": BATCH, "spikes": {**RULE, **rule}}
    values = changed(training=training, model={"tied_embeddings": False})
    model = models.build(check(models.Architecture, values["model"], "model"), vocab_size=64, context=16, seed=1)
    with torch.no_grad():
        model.get_input_embeddings().weight[POISON] = math.nan
    settings = check(Training, values["training"], "training")
    return train(model, data, settings, steps=steps, seed=1, area=area, label="test")


def same(first: Trained, second: Trained) -> bool:
    return all(weight.equal(first.weights[name]) | weight.isnan().any() for name, weight in second.weights.items())


def test_a_step_that_is_skipped_changes_nothing(profile: Path, tmp_path: Path) -> None:
    skipped = trained(tmp_path / "skipped", Poisoned({5}))
    without = trained(tmp_path / "without", Poisoned(set(), since=5, later=1), steps=11)
    assert same(skipped, without)
    (record,) = spikes.read(skipped.spikes)
    assert len(record.pop("sources")) == BATCH
    assert record == {"step": 6, "why": "not finite", "loss": "nan", "gradient_norm": "nan", "back_to": None}
    rows, others = skipped.log.splitlines(), without.log.splitlines()
    assert rows[6].startswith("6,768,nan,")
    assert [row.split(",")[2] for row in rows[7:]] == [row.split(",")[2] for row in others[6:]]
    assert skipped.metrics["spikes"] == 1
    assert skipped.metrics["loss"] == without.metrics["loss"]


def test_the_first_loss_is_that_of_the_first_step_that_was_learned_from(profile: Path, tmp_path: Path) -> None:
    found = trained(tmp_path / "run", Poisoned({0}), steps=2)
    assert found.first_loss == float(found.log.splitlines()[2].split(",")[2]) > 0


def test_going_back_passes_the_data_since_then(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Poisoned({5, 9})
    back = trained(tmp_path / "back", data, action="rollback")
    records = spikes.read(back.spikes)
    # The second poison, in batch 9, is met as step 8, for two batches had been passed.
    assert [(record["step"], record["back_to"]) for record in records] == [(6, 4), (8, 4)]
    assert "step 6 leads back to step 4, with loss nan" in capsys.readouterr().err
    without = trained(tmp_path / "passed", Poisoned(set(), since=4, later=6))
    assert same(back, without)
    assert back.log == without.log
    batches = [position // BATCH for position in data.asked[::BATCH]]
    assert batches == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, *range(10, 18)]


@pytest.mark.parametrize(("action", "kills"), [("skip", (6, 8, 2)), ("rollback", (6, 8, 5))])
def test_a_run_that_is_killed_after_it_decides_again_as_it_did(
    profile: Path, tmp_path: Path, action: str, kills: tuple[int, ...]
) -> None:
    settings = profile.with_name("profile.yaml")
    settings.write_text(settings.read_text().replace("every: 100", "every: 3"))
    whole = trained(tmp_path / "whole", Poisoned({5, 13}), action=action)
    for calls in kills:
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "killed", Killed({5, 13}, calls), action=action)
    killed = trained(tmp_path / "killed", Poisoned({5, 13}), action=action)
    assert (killed.log, killed.spikes, killed.metrics) == (whole.log, whole.spikes, whole.metrics)
    assert same(killed, whole)


class Killed(Poisoned):
    """Data whose n-th batch is the last thing a run asks for."""

    def __init__(self, batches: set[int], calls: int) -> None:
        super().__init__(batches)
        self.calls = calls

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        self.calls -= 1
        if not self.calls:
            raise KeyboardInterrupt
        return super().rows(indices, positions)


@pytest.mark.parametrize(
    ("action", "batches", "said"),
    [
        ("stop", {5}, "the loss of step 6 is nan with gradient norm nan, as 1 in a row"),
        ("skip", {5, 6, 7}, "the loss of step 8 is nan .*, as 3 in a row"),
        ("rollback", {5, 7, 8, 9}, "the loss of step 5 is nan .*, after 3 ways back to step 4"),
    ],
)
def test_too_many_in_a_row_end_the_run_and_are_on_record(
    profile: Path, tmp_path: Path, action: str, batches: set[int], said: str
) -> None:
    with pytest.raises(HeadwaterError, match=said):
        trained(tmp_path / "run", Poisoned(batches), action=action)
    records = spikes.read((tmp_path / "run" / spikes.FILE).read_text())
    assert len(records) == (1 if action == "stop" else 3)
    assert len(records[-1]["sources"]) == BATCH


def guard(losses: list[float], records: list[dict[str, Any]]) -> spikes.Guard:
    return spikes.Guard(check(Spikes, {**RULE, "deviations": 3.0}, "spikes"), losses, records)


def test_a_leap_is_held_against_the_steps_that_were_learned_from() -> None:
    """The mean of 4, 3, 4, 3 is 3.5 and their deviation 0.5: above 5 is a leap."""
    seen = [4.0, 3.0, 4.0, 3.0]
    assert guard(seen[:3], []).judge(99.0, 1.0) is None  # before the window is full, none is
    assert guard(seen, []).judge(5.0, 1.0) is None
    first = guard(seen, [])
    assert first.judge(5.01, 1.0) == spikes.LEAP
    first.note(5, spikes.LEAP, 5.01, 1.0, ["a"])
    assert first.judge(5.01, 1.0) == spikes.LEAP  # it has not become used to it
    again = guard([*seen, 5.01], first.records)
    assert again.judge(5.01, 1.0) == spikes.LEAP
    assert again.judge(3.5, math.inf) == spikes.NOT_FINITE
