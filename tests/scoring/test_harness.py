"""lm-evaluation-harness on our scorer: the same figures as on its own, the user's tasks, names that do not exist."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from stages.core.errors import HeadwaterError
from stages.scoring import generation, harness
from stages.scoring.likelihood import Scorer, Windows
from tests import small_model
from tests.scoring.solved import solve

WINDOWS = Windows(overlap=0.25, batch_tokens=512)


@pytest.fixture
def folders(model: Path, profile: Path, tmp_path: Path) -> list[Path]:
    """The model, and the user's folder with a task of minimal pairs and one of perplexity."""
    own = tmp_path / "own"
    own.mkdir()
    pairs = [{"good": f"the page {verb} a", "bad": f"page the a {verb}"} for verb in ("reads", "writes", "closes")]
    (own / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    task = {
        "task": "pairs",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(own / "pairs.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "",
        "doc_to_choice": "{{[good, bad]}}",
        "doc_to_target": 0,
        "target_delimiter": "",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    (own / "pairs.yaml").write_text(yaml.safe_dump(task))
    perplexity = {
        **task,
        "task": "perplexity_of_good",
        "output_type": "loglikelihood_rolling",
        "doc_to_choice": None,
        "doc_to_target": "good",
        "metric_list": [{"metric": "bits_per_byte"}],
    }
    (own / "perplexity.yaml").write_text(yaml.safe_dump(perplexity))
    return [model, own]


def figures(folders: list[Path], tmp_path: Path, *names: str) -> dict[str, Any]:
    model, own = folders
    return solve(model, own, tmp_path / "solved", *names, windows=WINDOWS)


def test_tasks_of_the_user(folders: list[Path], tmp_path: Path) -> None:
    found = figures(folders, tmp_path, "pairs", "perplexity_of_good")
    assert found["pairs"]["acc"] == 1.0
    assert found["pairs"]["questions"] == 3
    assert found["pairs"]["chance"] == 0.5
    # Not infinitely far above chance, although its own standard error is 0.
    assert found["pairs"]["acc_stderrs_above_chance"] == pytest.approx(0.5 / (0.25 / 3) ** 0.5)
    assert 0 < found["perplexity_of_good"]["bits_per_byte"] < 5
    assert figures(folders, tmp_path, "pairs", "perplexity_of_good") == found


def test_no_task_at_all(folders: list[Path], tmp_path: Path) -> None:
    assert figures(folders, tmp_path) == {}


def test_unknown_task_names_the_nearest(folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its own tasks take 12 s to read, and are not needed to find a name among the user's.
    monkeypatch.setattr(harness, "TaskManager", lambda include_path, **_: TaskManager(None, include_path, False))
    with pytest.raises(HeadwaterError, match=r"evaluate\.tasks: no task is named 'pears' .*; did you mean 'pairs'\?$"):
        figures(folders, tmp_path, "pears")


def test_task_without_its_data_is_one_line(folders: list[Path], tmp_path: Path) -> None:
    (folders[1] / "pairs.jsonl").unlink()
    with pytest.raises(HeadwaterError, match=r"^params\.yaml: evaluate\.tasks: pairs cannot be loaded: .*pairs\.jsonl"):
        figures(folders, tmp_path, "pairs")


def test_log_likelihoods_are_those_of_the_reference_adapter(model: Path, profile: Path) -> None:
    scorer = Scorer(model, WINDOWS)
    network = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    reference = HFLM(pretrained=network, tokenizer=scorer.tokenizer, batch_size=4, add_bos_token=True, device="cpu")
    ours = harness.HeadwaterLM(scorer, "test", "never")
    text = small_model.document(7)["text"]
    arguments = [("", "the page reads"), ("the page ", "reads a request"), (text[:40], text[40:60]), (text, " the log")]
    requests = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(arguments)]
    expected = reference.loglikelihood(requests, disable_tqdm=True)
    for (nats, greedy), (reference_nats, reference_greedy) in zip(ours.loglikelihood(requests), expected, strict=True):
        assert nats == pytest.approx(reference_nats, rel=1e-5)
        assert greedy == reference_greedy
    requests = [Instance("generate_until", {}, (text[:60], {"until": [" the"], "max_gen_toks": 12}), 0)]
    assert ours.generate_until(requests) == reference.generate_until(requests, disable_tqdm=True)


def test_a_task_that_asks_for_text_is_put_to_a_model_that_talks_in_conversation(model: Path, profile: Path) -> None:
    scorer = Scorer(model, WINDOWS)
    request = [Instance("generate_until", {}, ("the page reads", {"until": [" the"], "max_gen_toks": 12}), 0)]
    plain, asked = (harness.HeadwaterLM(scorer, "test", wanted) for wanted in ("tuned", "always"))
    (expected,) = generation.continue_all(scorer, [generation.chat(scorer, "the page reads")], (" the",), 12)
    assert asked.generate_until(request) == [expected]
    assert plain.generate_until(request) != [expected]
    scorer.model.generation_config.eos_token_id = [7, 2]
    assert harness.HeadwaterLM(scorer, "test", "tuned").generate_until(request) == [expected]
    assert harness.HeadwaterLM(scorer, "test", "never").generate_until(request) != [expected]
