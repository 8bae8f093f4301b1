"""A published model on a published task: the score is known, and trust in all others rests on it."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from stages.scoring.generation import continue_all
from stages.scoring.likelihood import Scorer, Windows
from tests.scoring import stories
from tests.scoring.solved import solve

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
WINDOWS = Windows(overlap=0.0, batch_tokens=4096)


@pytest.fixture
def stories260k(tmp_path: Path, profile: Path) -> Path:
    weights, vocabulary = DATA / "models" / "stories260K.bin", DATA / "models" / "tok512.bin"
    if not weights.is_file():
        pytest.skip(f"{weights} is missing")
    stories.convert(weights, vocabulary, tmp_path / "model")
    return tmp_path / "model"


def test_it_tells_the_story_that_llama2c_tells(stories260k: Path) -> None:
    scorer = Scorer(stories260k, WINDOWS)
    start = [scorer.begin, *scorer.encode("Once upon a time")]
    (text,) = continue_all(scorer, [start], (), 80)
    # Greedy, as in llama2.c's test_all.py (expected_stdout).
    assert text.startswith(
        ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball."
        " She wanted to play with it, but it was too high."
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_minimal_pairs(stories260k: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    rows = pq.read_table(DATA / "evaluation" / "blimp.parquet", columns=["good", "bad"]).to_pylist()[::10]
    (own / "blimp.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    task = {
        "task": "minimal_pairs",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(own / "blimp.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "",
        "doc_to_choice": "{{[good, bad]}}",
        "doc_to_target": 0,
        "target_delimiter": "",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    (own / "minimal_pairs.yaml").write_text(yaml.safe_dump(task), "utf-8")
    figures = solve(stories260k, own, tmp_path, "minimal_pairs", windows=WINDOWS)["minimal_pairs"]
    assert figures["questions"] == 6_700
    assert figures["acc"] == pytest.approx(0.5388, abs=0.0005)
    # It is known for 53.6 %; of all 67,000 pairs it gets 53.16 % (± 0.19) right here. The way that a sentence is scored
    # makes as much: on every fifth pair two spaces before it (lm-evaluation-harness by default) make 1.1 points more,
    # its first token left out 0.25 more, </s> behind it nothing; no <s> before it 1.5 more (every tenth pair).
    assert abs(figures["acc"] - 0.536) < 2 * figures["acc_stderr"]
