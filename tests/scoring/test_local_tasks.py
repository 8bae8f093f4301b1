"""Every task of incoming/evaluation/README.md runs as it stands there, on real data where there is any."""

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sacrebleu
import yaml

from stages.scoring import questions
from stages.scoring.likelihood import Windows
from tests import small_model
from tests.scoring.solved import solve

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "evaluation"
WINDOWS = Windows(overlap=0.25, batch_tokens=2048)


def documented(folder: Path) -> list[str]:
    """Write the tasks of the README to ``folder``, with the paths in them changed to lie there; gives their names."""
    text = (ROOT / "incoming/evaluation/README.md").read_text("utf-8").replace("incoming/evaluation/", f"{folder}/")
    tasks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    for task in tasks:
        (folder / f"{task['task']}.yaml").write_text(yaml.safe_dump(task), "utf-8")
    return [task["task"] for task in tasks]


def table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The user's folder, with data made for the tasks that ask for what shared/data does not hold."""
    own = tmp_path / "own"
    own.mkdir()
    pairs = [{"sent_more": f"the page reads a request n{n}", "sent_less": f"the a n{n} reads page"} for n in range(4)]
    table(own / "stereotypes.csv", pairs)
    prompts = [
        {"prompt": f"the page reads{' a request' * n}", "reference": f" n1022x. “closes”{' one log' * n}"}
        for n in range(6)
    ]
    table(own / "translation.csv", prompts)
    (own / "prompts.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts), "utf-8")
    asked = [{"question": "the page", "choices": ["reads", "日本", "x"], "answer": n % 2} for n in range(5)]
    (own / "quiz.jsonl").write_text("".join(json.dumps(question) + "\n" for question in asked), "utf-8")
    (own / "wikitext.txt").write_text(small_model.document(5)["text"], "utf-8")
    return own


MADE = ("stereotypes", "translation", "offence", "quiz", "perplexity")
REAL = ("minimal_pairs", "piqa", "xcopa_it")


def test_tasks_of_data_made_here(model: Path, own: Path, profile: Path, tmp_path: Path) -> None:
    assert sorted(documented(own)) == sorted(MADE + REAL)
    found = solve(model, own, tmp_path / "a", *MADE, windows=WINDOWS)
    assert found["stereotypes"]["acc"] == 1
    assert found["quiz"]["acc"] == pytest.approx(0.6)  # it prefers what it has seen
    assert found["quiz"]["chance"] == pytest.approx(1 / 3)
    assert 0 < found["perplexity"]["bits_per_byte"] < 4
    assert found["perplexity"]["byte_perplexity"] == pytest.approx(2 ** found["perplexity"]["bits_per_byte"])
    assert found["offence"]["listed_words"] == 0
    answers = [json.loads(line) for line in (tmp_path / "a/answers.jsonl").read_text("utf-8").splitlines()]
    written = [answer for answer in answers if answer["task"] == "translation"]
    references = [answer["reference"] for answer in written]
    assert references[1] == " n1022x. “closes” one log"
    bleu = sacrebleu.corpus_bleu([answer["answer"] for answer in written], [references])
    assert found["translation"]["bleu"] == pytest.approx(bleu.score)
    assert 0 < found["translation"]["rougeL"] < 1
    for metric in ("chrf", "rougeL"):
        assert 0 < found["translation"][f"{metric}_stderr"] < found["translation"][metric]


def test_the_same_at_any_batch_size_and_on_every_repetition(
    model: Path, own: Path, profile: Path, tmp_path: Path
) -> None:
    documented(own)
    small = Windows(overlap=0.25, batch_tokens=1)
    first, second, third = (
        solve(model, own, tmp_path / name, *MADE, windows=windows)
        for name, windows in (("a", WINDOWS), ("b", WINDOWS), ("c", small))
    )
    assert first == second
    for task, figures in first.items():
        assert third[task] == pytest.approx(figures, rel=1e-5, nan_ok=True)
    kept = [list(questions.read(tmp_path / name / "questions.parquet")) for name in ("a", "c")]
    assert [(one.task, one.metric, one.questions) for one in kept[0]] == [
        (one.task, one.metric, one.questions) for one in kept[1]
    ]
    for one in kept[0]:
        assert one.value() == pytest.approx(first[one.task][one.metric])
    assert (tmp_path / "a/answers.jsonl").read_bytes() == (tmp_path / "c/answers.jsonl").read_bytes()


def test_tasks_of_published_data(model: Path, own: Path, profile: Path, tmp_path: Path) -> None:
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is missing")
    documented(own)
    pq.write_table(pq.read_table(DATA / "blimp.parquet").take(pa.array(range(0, 67_000, 1_000))), own / "blimp.parquet")
    pq.write_table(pq.read_table(DATA / "piqa_valid.parquet").slice(0, 40), own / "piqa.parquet")
    xcopa = pq.read_table(DATA / "xcopa.parquet", filters=[("language", "=", "it")])
    pq.write_table(xcopa.slice(0, 40), own / "xcopa_it.parquet")
    found = solve(model, own, tmp_path / "solved", *REAL, windows=WINDOWS)
    assert {name: figures["questions"] for name, figures in found.items()} == {
        "minimal_pairs": 67,
        "piqa": 40,
        "xcopa_it": 40,
    }
    for figures in found.values():
        assert figures["chance"] == 0.5
        expected = math.sqrt(figures["acc"] * (1 - figures["acc"]) / (figures["questions"] - 1))
        assert figures["acc_stderr"] == pytest.approx(expected)
