"""Heads: what transformers computes, learned as its own losses would be, and saved so that it loads them."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from stages.core.errors import HeadwaterError
from stages.core.examples import IGNORED, Example
from stages.core.params import check
from stages.training import adapters, heads
from stages.training import model as models
from stages.training.adapters import Adapter, Tuning
from stages.training.data import Padded
from stages.training.settings import Training
from tests.training.small_run import PARAMS

SETTINGS = dataclasses.replace(check(Training, PARAMS["training"], "training"), precision="fp32", attention="eager")
EXAMPLES = [
    Example("a", [1, 9, 10, 11, 12], [IGNORED, 0, IGNORED, 2, 1], 1.0),
    Example("b", [1, 20], [IGNORED, 1], 0.0),
    Example("c", [1, 30, 31], [IGNORED, 2, 0], 2.0),
]
NAMES = ("x", "y", "z")


def folder(path: Path, kind: str) -> Path:
    """A small pretrained model of that kind."""
    shape = check(models.Architecture, PARAMS["model"] | {"kind": kind, "kv_heads": 2}, "model")
    model = models.build(shape, vocab_size=60, context=16, seed=1)
    models.save(model.config, model.state_dict(), path, stop=[2])
    return path


def batch() -> Any:
    """All examples, padded."""
    return Padded(EXAMPLES, 3).rows(np.arange(3), np.arange(3))


def losses(learner: Any, change: torch.Tensor | None = None) -> Any:
    """Those of the batch."""
    return learner.eval()(*learner.arguments(batch(), torch.device("cpu")), change)


@pytest.mark.parametrize("kind", ["llama", "bert", "gpt2", "gpt_neox", "olmo2", "qwen3"])
def test_a_classifier_loses_what_transformers_says_for_each_row_alone(kind: str, tmp_path: Path) -> None:
    model = heads.load(folder(tmp_path / "model", kind), 0.0, 1, names=NAMES, tagging=False)
    found = losses(heads.Classifier(model, SETTINGS))
    alone = [model(torch.tensor([one.ids]), labels=torch.tensor([int(one.value)])).loss.item() for one in EXAMPLES]
    assert found.cross_entropy.item() == pytest.approx(sum(alone), abs=1e-4)
    assert found.objective.item() == pytest.approx(sum(alone), abs=1e-4)
    models.save(model.config, model.state_dict(), tmp_path / "tuned", stop=[])
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "tuned").eval()
    assert again.config.id2label == {0: "x", 1: "y", 2: "z"}
    assert again.config.problem_type == "single_label_classification"
    ids = torch.tensor([EXAMPLES[0].ids])
    assert again(ids).logits.allclose(model(ids).logits, atol=1e-6)


@pytest.mark.parametrize("kind", ["llama", "bert", "gpt2"])
def test_a_tagger_loses_at_the_tokens_that_have_tags(kind: str, tmp_path: Path) -> None:
    model = heads.load(folder(tmp_path / "model", kind), 0.0, 1, names=NAMES, tagging=True)
    learner = heads.Tagger(model, SETTINGS)
    alone = [
        torch.nn.functional.cross_entropy(
            model(torch.tensor([one.ids])).logits[0], torch.tensor(one.labels), reduction="sum"
        ).item()
        for one in EXAMPLES
    ]
    assert losses(learner).cross_entropy.item() == pytest.approx(sum(alone), abs=1e-4)
    assert learner.targets(batch()) == 6
    models.save(model.config, model.state_dict(), tmp_path / "tuned", stop=[])
    assert AutoModelForTokenClassification.from_pretrained(tmp_path / "tuned").config.label2id == {
        "x": 0,
        "y": 1,
        "z": 2,
    }


def test_a_number_is_learned_by_its_squared_error(tmp_path: Path) -> None:
    model = heads.load(folder(tmp_path / "model", "llama"), 0.0, 1, names=(), tagging=False)
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")
    alone = [(model(torch.tensor([one.ids])).logits.item() - one.value) ** 2 for one in EXAMPLES]
    assert losses(heads.Scorer(model, SETTINGS)).objective.item() == pytest.approx(sum(alone), abs=1e-4)


def test_a_rare_class_weighs_more_and_the_mean_weight_is_one(tmp_path: Path) -> None:
    weights = heads.balanced([Example("", [1], value=value) for value in (0, 0, 0, 1)], 3)
    assert weights == (4 / 6, 4 / 2, 0.0)
    model = heads.load(folder(tmp_path / "model", "llama"), 0.0, 1, names=NAMES, tagging=False)
    found = losses(heads.Classifier(model, SETTINGS, weights=(0.0, 3.0, 0.0)))
    only = model(torch.tensor([EXAMPLES[0].ids]), labels=torch.tensor([1])).loss.item()
    assert found.objective.item() == pytest.approx(3 * only, abs=1e-4)
    assert found.cross_entropy.item() == losses(heads.Classifier(model, SETTINGS)).cross_entropy.item()


def test_a_change_of_the_embeddings_reaches_the_loss(tmp_path: Path) -> None:
    model = heads.load(folder(tmp_path / "model", "llama"), 0.0, 1, names=NAMES, tagging=False)
    learner = heads.Classifier(model, SETTINGS)
    still = losses(learner)
    still.embedded.retain_grad()
    still.objective.backward()
    assert still.embedded.shape == (3, 5, 32)
    step = 1e-3 * still.embedded.grad / still.embedded.grad.norm()
    assert losses(learner, step).objective > still.objective > losses(learner, -step).objective


@pytest.mark.parametrize("tagging", [False, True])
@pytest.mark.parametrize("method", ["lora", "adalora", "ia3"])
def test_an_adapter_is_merged_with_the_head_that_it_was_trained_with(
    method: Any, tagging: bool, tmp_path: Path
) -> None:
    base = folder(tmp_path / "model", "llama")
    load = functools.partial(heads.load, base, 0.0, 1, names=NAMES, tagging=tagging)
    how = Tuning(method, Adapter(rank=2, alpha=4, dropout=0.0, targets="attention", virtual_tokens=2), 20, seed=3)
    model = load()
    adapters.attach(model, how)
    learner = (heads.Tagger if tagging else heads.Classifier)(model, SETTINGS)
    learned = {name: one for name, one in model.named_parameters() if one.requires_grad}
    assert 0 < len(learned) < len(list(model.parameters()))
    optimizer = torch.optim.AdamW(learned.values(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        learner(*learner.arguments(batch(), torch.device("cpu"))).objective.backward()
        optimizer.step()
    adapters.save({name: one.detach() for name, one in learned.items()}, how, load(), tmp_path / "tuned", stop=[])
    ids = torch.tensor([EXAMPLES[0].ids])
    family = AutoModelForTokenClassification if tagging else AutoModelForSequenceClassification
    again = family.from_pretrained(tmp_path / "tuned").eval()(ids).logits
    torch.testing.assert_close(again, model.eval()(ids).logits)
    assert (again - load().eval()(ids).logits).abs().max() > 1e-4


def test_a_kind_without_such_a_head_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match="a olmo2 has no head for tags in transformers; these have: bert, gpt2"):
        heads.load(folder(tmp_path / "model", "olmo2"), 0.0, 1, names=NAMES, tagging=True)
