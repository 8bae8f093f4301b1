"""The loop: what the loss of a step is, what stops it, and what it refuses before it starts."""

import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.core.errors import HeadwaterError
from stages.core.examples import IGNORED
from stages.core.order import Integers
from stages.core.params import check
from stages.training import model as models
from stages.training.data import Rows, Split
from stages.training.learner import Learner
from stages.training.loop import Trained, train
from stages.training.run import worst
from stages.training.settings import Training
from tests.training.small_run import changed


class Repeats:
    """Rows that say the same eight ids twice; every third ends in something that is no target."""

    def __init__(self, count: int = 40) -> None:
        half = np.random.default_rng(0).integers(8, 64, (count, 8))
        self.ids = np.concatenate([half, half, half[:, :1]], axis=1)
        self.labels = self.ids[:, 1:].copy()
        self.labels[::3, 5:] = IGNORED

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        return Rows(self.ids[indices, :-1], self.labels[indices])

    def sources(self, indices: Integers) -> list[str]:
        return [f"row {row}" for row in indices]


def trained(area: Path, data: Any = None, steps: int = 6, **training: Any) -> Trained:
    area.mkdir(exist_ok=True)
    values = changed(training={"precision": "fp32", **training})
    model = models.build(check(models.Architecture, values["model"], "model"), vocab_size=64, context=16, seed=1)
    settings = check(Training, values["training"], "training")
    return train(model, data or Repeats(), settings, steps=steps, seed=1, area=area, label="test")


def column(result: Trained, name: str) -> list[float]:
    header, *lines = result.log.splitlines()
    return [float(line.split(",")[header.split(",").index(name)]) for line in lines]


def test_it_learns(profile: Path, tmp_path: Path) -> None:
    losses = column(trained(tmp_path / "run", steps=40), "loss")
    assert losses[0] == pytest.approx(math.log(64), abs=0.05)  # it begins by knowing nothing
    assert losses[-1] < losses[0] - 1


def test_the_loss_is_the_mean_over_the_targets_of_the_batch_however_it_is_cut(profile: Path, tmp_path: Path) -> None:
    whole, cut = (trained(tmp_path / str(micro), micro_batch=micro) for micro in (8, 1))
    for name in ("loss", "gradient_norm"):
        assert column(cut, name) == pytest.approx(column(whole, name), rel=1e-4)
    assert whole.metrics["tokens"] == cut.metrics["tokens"] == 6 * 8 * 16


@pytest.mark.parametrize(("warmup", "said"), [(6, True), (5, False)])
def test_a_warm_up_that_takes_the_whole_run_is_said(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], warmup: int, said: bool
) -> None:
    trained(tmp_path / "run", schedule=STEADY | {"warmup": warmup})
    assert ("test: training.schedule.warmup is 6, of 6 steps: the learning" in capsys.readouterr().err) == said


def test_sdpa_and_eager_attention_agree(profile: Path, tmp_path: Path) -> None:
    first, second = (trained(tmp_path / kind, attention=kind) for kind in ("sdpa", "eager"))
    assert column(first, "loss") == pytest.approx(column(second, "loss"), rel=1e-4)


def test_rows_are_counted_as_reached_or_not(profile: Path, tmp_path: Path) -> None:
    few = trained(tmp_path / "few", steps=2).metrics
    assert (few["in"], few["out"], few["dropped"]) == (40, 16, {"not_reached": 24})
    many = trained(tmp_path / "many", steps=6).metrics
    assert (many["in"], many["out"], many["dropped"]) == (40, 40, {"not_reached": 0})


def test_matrices_decay_and_scales_of_norms_do_not(profile: Path, tmp_path: Path) -> None:
    free, held = (trained(tmp_path / str(decay), steps=1, weight_decay=decay).weights for decay in (0.0, 2.0))
    name = "model.layers.0.mlp.up_proj.weight"
    assert held[name].norm() < 0.999 * free[name].norm()
    assert held["model.norm.weight"].equal(free["model.norm.weight"])


STEADY = {"shape": "wsd", "peak": 0.01, "warmup": 0, "decay": 0.0, "final": 0.0}
"""A learning rate that does not depend on the length of the run."""


def averaging(method: str, points: int = 1, every: int = 1) -> dict[str, Any]:
    return {"method": method, "decay": 0.6, "points": points, "every": every}


def test_a_uniform_average_is_the_mean_of_the_weights_at_its_points(profile: Path, tmp_path: Path) -> None:
    at = [trained(tmp_path / str(step), steps=step, schedule=STEADY).weights for step in (2, 4, 6)]
    mean = trained(tmp_path / "mean", schedule=STEADY, averaging=averaging("uniform", points=3, every=2)).weights
    for name, weights in mean.items():
        torch.testing.assert_close(weights, sum(one[name] for one in at) / 3, rtol=1e-5, atol=1e-6)


def test_a_moving_average_forgets_its_first_weights_faster_than_later_ones(profile: Path, tmp_path: Path) -> None:
    at = [trained(tmp_path / str(step), steps=step, schedule=STEADY).weights for step in (1, 2, 3)]
    mean = trained(tmp_path / "mean", steps=3, schedule=STEADY, averaging=averaging("ema")).weights
    name = "model.layers.1.mlp.up_proj.weight"
    values = changed()["model"]
    fresh = models.build(check(models.Architecture, values, "model"), vocab_size=64, context=16, seed=1)
    expected = fresh.state_dict()[name]
    for step, weights in enumerate(at, start=1):
        kept = min(0.6, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * weights[name]
    torch.testing.assert_close(mean[name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["ema", "uniform"])
def test_the_figure_of_held_out_rows_is_that_of_the_average_that_the_run_ends_in(
    profile: Path, tmp_path: Path, method: str
) -> None:
    rows = {"rows": 8, "every": 2, "patience": 0}
    ended = trained(tmp_path / "run", held_out=rows, averaging=averaging(method, points=3, every=2), schedule=STEADY)
    model = models.build(check(models.Architecture, changed()["model"], "model"), vocab_size=64, context=16, seed=1)
    model.load_state_dict(ended.weights, strict=False)
    data = Repeats()
    held, _ = Split(data, rows["rows"], seed=1, steps=6).held_out_rows()
    labels = torch.from_numpy(data.labels[held])
    logits = model.eval()(torch.from_numpy(data.ids[held, :-1])).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    assert ended.metrics["held_out_loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert ended.metrics["held_out_loss"] != pytest.approx(column(ended, "held_out_loss")[-1], rel=1e-4)


def test_where_held_out_rows_get_worse_the_run_ends_in_its_best_weights(profile: Path, tmp_path: Path) -> None:
    held_out = {"rows": 16, "every": 2, "patience": 3}
    data = Repeats()
    data.labels[:] = np.random.default_rng(1).integers(8, 64, data.labels.shape)  # nothing but to learn by heart
    ended = trained(tmp_path / "ended", data, steps=200, schedule=STEADY, held_out=held_out)
    measured = column(ended, "held_out_loss")[1::2]
    best = measured.index(min(measured))
    assert len(measured) == best + 1 + 3
    assert ended.metrics["steps"] == 2 * len(measured) < 200
    assert ended.metrics["held_out_loss"] == min(measured)
    assert ended.metrics["dropped"] == {"not_reached": 0, "held_out": 16}
    held_out["patience"] = 0
    until = trained(tmp_path / "until", data, steps=2 * (best + 1), schedule=STEADY, held_out=held_out)
    assert all(ended.weights[name].equal(weights) for name, weights in until.weights.items())


def test_muon_turns_the_matrices_of_layers_and_leaves_the_rest_to_adamw(profile: Path, tmp_path: Path) -> None:
    fresh = models.build(
        check(models.Architecture, changed()["model"], "model"), vocab_size=64, context=16, seed=1
    ).state_dict()
    plain: dict[str, Any] = {"steps": 1, "schedule": STEADY, "weight_decay": 0.0, "clip": 1e9}
    muon, adamw = (trained(tmp_path / name, optimizer=name, **plain).weights for name in ("muon", "adamw"))
    for name, weights in muon.items():
        if "layers" in name and weights.ndim == 2:
            turned = torch.linalg.svdvals(weights - fresh[name]) / (0.01 * 0.2 * math.sqrt(max(weights.shape)))
            assert 0.3 < turned.median() < 1.3, name
        else:
            assert weights.equal(adamw[name]), name


def test_the_change_that_is_learned_against_is_the_one_that_hurts(profile: Path, tmp_path: Path) -> None:
    values = changed(training={"precision": "fp32"})
    model = models.build(check(models.Architecture, values["model"], "model"), vocab_size=64, context=16, seed=1)
    learner = Learner(model, check(Training, values["training"], "training"))
    ids = torch.randint(8, 64, (3, 16), generator=torch.Generator().manual_seed(0))
    losses = learner(ids, ids.flatten())
    losses.embedded.retain_grad()
    losses.objective.backward()
    change = worst(losses.embedded.grad, 0.3)
    assert torch.linalg.vector_norm(change, dim=(1, 2)).tolist() == pytest.approx([0.3] * 3)
    hurt, random = (
        float(learner(ids, ids.flatten(), change=one).objective.detach()) for one in (change, change.flip(0, 1, 2))
    )
    assert hurt > max(random, float(losses.objective.detach())) + 0.1
    first, second = (trained(tmp_path / str(norm), steps=2, adversarial=norm) for norm in (0.0, 0.5))
    assert column(second, "loss")[0] == column(first, "loss")[0]  # what is logged is what it knows of the data
    assert column(second, "loss")[1] != column(first, "loss")[1]


class StoppedAt(Repeats):
    """Data that bring a SIGTERM with their n-th batch of rows."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.calls, self.call = 0, call

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        self.calls += 1
        if self.calls == self.call:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().rows(indices, positions)


def test_sigterm_saves_at_the_end_of_a_step_and_the_next_run_ends_the_same(profile: Path, tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match="told to stop; saved at step 4 of 6, run again to continue"):
        trained(tmp_path / "stopped", StoppedAt(4 * 2 - 1), micro_batch=4)  # in the fourth step
    stopped, whole = (trained(tmp_path / name, micro_batch=4) for name in ("stopped", "whole"))
    assert stopped.log == whole.log
    assert all(stopped.weights[name].equal(weight) for name, weight in whole.weights.items())


def test_a_loss_that_is_no_number_ends_the_run(profile: Path, tmp_path: Path) -> None:
    schedule = {"shape": "wsd", "peak": 1e30, "warmup": 0, "decay": 0.1, "final": 0.0}
    with pytest.raises(HeadwaterError, match=r"loss of step 5 .* nan, as 4 in a row .*: lower schedule.peak"):
        trained(tmp_path / "run", schedule=schedule)


@pytest.mark.parametrize(
    ("training", "rows", "said"),
    [
        ({"batch_sequences": 8, "micro_batch": 3}, 40, "batch_sequences is 8, which does not divide"),
        ({}, 7, "7 rows to train on are too few for one batch of 8"),
        ({"precision": "fp16"}, 40, "training.precision: fp16 overflows without loss scaling"),
        ({"precision": "fp8"}, 40, "training.precision: Input should be 'bf16', 'fp32' or 'tf32'"),
    ],
)
def test_what_cannot_be_trained_is_refused_first(
    profile: Path, tmp_path: Path, training: dict[str, Any], rows: int, said: str
) -> None:
    with pytest.raises(HeadwaterError, match=said):
        trained(tmp_path / "run", Repeats(rows), **training)
    assert not list((tmp_path / "run").iterdir())
