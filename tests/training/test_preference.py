"""Preferred answers become likelier: the loss and its gradient are those of the paper."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from stages.core.examples import IGNORED, Example
from stages.core.params import check
from stages.training import model as models
from stages.training import preference
from stages.training.preference import Chooser, Pairs
from stages.training.settings import Training
from tests.conftest import ROOT
from tests.training import small_run

PAD = 3


def model(std: float = 0.2, seed: int = 1) -> torch.nn.Module:
    given = small_run.PARAMS["model"] | {"init_std": std}
    return models.build(check(models.Architecture, given, "model"), vocab_size=64, context=32, seed=seed)


def training(**changes: object) -> Training:
    return check(Training, small_run.PARAMS["training"] | {"precision": "fp32"} | changes, "training")


def examples(count: int) -> list[Example]:
    generator = np.random.default_rng(0)
    rows = []
    for number in range(2 * count):
        ids = generator.integers(4, 64, 6 + number % 5).tolist()
        rows.append(Example(f"row {number // 2}", ids[:-1], [IGNORED] * 2 + ids[3:]))
    return rows


def test_loss_and_gradient_are_those_of_the_paper() -> None:
    chooser = Chooser(model(), training(label_smoothing=0.1), beta=0.3)
    rows = Pairs([one._replace(value=-float(number)) for number, one in enumerate(examples(3))], PAD).rows(
        np.arange(3), np.arange(3)
    )
    losses = chooser(*chooser.arguments(rows, torch.device("cpu")))
    losses.objective.backward()
    found = chooser.model.get_input_embeddings().weight.grad.clone()
    chooser.zero_grad()
    ids, labels = torch.from_numpy(rows.input_ids), torch.from_numpy(rows.labels)
    chances = chooser.model(ids).logits.log_softmax(-1).gather(2, labels.clamp(min=0).unsqueeze(2)).squeeze(2)
    likelihood = (chances * (labels != IGNORED)).sum(1) - torch.tensor(rows.values)
    margin = 0.3 * (likelihood[:3] - likelihood[3:])
    expected = (-0.9 * functional.logsigmoid(margin) - 0.1 * functional.logsigmoid(-margin)).sum()
    expected.backward()
    torch.testing.assert_close(losses.objective.double(), expected)
    torch.testing.assert_close(found, chooser.model.get_input_embeddings().weight.grad)


def test_the_reference_is_asked_once_and_a_pair_begins_at_no_margin(tmp_path: Path) -> None:
    asked = []

    def reference() -> Chooser:
        asked.append(True)
        return Chooser(model(), training(), beta=0.3)

    for _ in range(2):
        pairs = preference.against(examples(4), tmp_path / "reference.json", reference, PAD, size=3)
    assert len(asked) == 1
    same, other = (Chooser(model(seed=seed), training(), beta=0.3) for seed in (1, 2))
    assert preference.judge(same, pairs.examples, PAD, 8)["margin"] == pytest.approx(0, abs=1e-5)
    assert abs(preference.judge(other, pairs.examples, PAD, 8)["margin"]) > 0.01
    assert len(pairs.part(np.array([2, 0]))) == 2
    assert pairs.sources(np.array([2, 0])) == ["row 2", "row 0"]


def asked(folder: Path) -> list[float]:
    """What a reference makes of the answers of nine pairs, of which it is asked for four at a time."""
    pairs = preference.against(
        examples(9), folder / "made.json", lambda: Chooser(model(), training(), 0.3), PAD, size=4
    )
    return [one.value for one in pairs.examples]


@pytest.mark.slow
def test_processes_share_the_work_of_the_reference(profile: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(tmp_path)], env=environment, check=True)
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    (tmp_path / "made.json").rename(tmp_path / "theirs.json")
    torch.set_num_threads(1)
    assert found == [asked(tmp_path)] * 2
    assert (tmp_path / "made.json").read_bytes() == (tmp_path / "theirs.json").read_bytes()


if __name__ == "__main__":  # a process of the last test
    (Path(sys.argv[1]) / f"{os.environ['RANK']}.json").write_text(json.dumps(asked(Path(sys.argv[1]))))
