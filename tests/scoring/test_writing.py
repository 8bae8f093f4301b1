"""Texts that a model writes beside those that it should: what is compared, and that batches do not matter."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from stages.core.examples import IGNORED, Example
from stages.scoring import writing
from stages.scoring.likelihood import Windows
from tests import small_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pretrained model."""
    return small_model.train(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(autouse=True)
def in_a_profile(profile: Path) -> None:
    """Threads come from there."""


def rows(folder: Path, count: int) -> list[Example]:
    """Two sentences, of which the end of the first and all of the second are learned, of several lengths."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    found = []
    for number in range(count):
        first, second = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in
                         ("the page reads a request"[: 8 + 2 * number], " writes the answer."))  # fmt: skip
        ids = [1, *first, *second, 2]
        learned = [False] * len(first) + [True] * 1 + [False] * 2 + [True] * (len(second) - 2)
        labels = [token if wanted else IGNORED for token, wanted in zip(ids[1:], learned, strict=True)]
        found.append(Example(f"row {number}", ids[:-1], labels))
    return found


def test_the_perplexity_is_that_of_all_that_is_learned(folder: Path) -> None:
    examples = rows(folder, 5)
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        losses = [
            torch.nn.functional.cross_entropy(
                model(torch.tensor([one.ids])).logits[0], torch.tensor(one.labels), reduction="sum"
            ).item()
            for one in examples
        ]
    tokens = sum(label != IGNORED for one in examples for label in one.labels)
    found = writing.perplexity(folder, examples)["perplexity"]
    assert found["value"] == pytest.approx(math.exp(sum(losses) / tokens), rel=1e-4)
    assert found["stderr"] > 0


def test_figures_are_the_same_at_any_batch_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = rows(folder, 6)
    together = writing.texts(folder, examples)
    monkeypatch.setattr(writing, "_WINDOWS", Windows(overlap=0.0, batch_tokens=1))
    alone = writing.texts(folder, examples)
    assert together.keys() == {"perplexity", "bleu", "chrf", "rouge1", "rouge2", "rougeL"}
    for name, figure in together.items():
        assert figure["value"] == pytest.approx(alone[name]["value"], rel=1e-5), name


def test_what_the_model_would_write_scores_full_marks(folder: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    examples = []
    for start in ("the page", "a server", "this file reads", "one log"):
        ids = torch.tensor([[1, *tokenizer(start, add_special_tokens=False)["input_ids"]]])
        whole = model.generate(ids, max_new_tokens=12, do_sample=False)[0].tolist()
        labels = [IGNORED] * (ids.shape[1] - 1) + whole[ids.shape[1] :]
        examples.append(Example(start, whole[:-1], labels))
    found = writing.texts(folder, examples)
    assert found["bleu"]["value"] == pytest.approx(100)
    assert (found["chrf"]["value"], found["rougeL"]["value"]) == (pytest.approx(100), 1)
    assert writing.texts(folder, rows(folder, 3))["bleu"]["value"] < 99
