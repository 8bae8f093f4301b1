"""A classifier learns what its examples have, is the same on every run, and says so where it cannot learn."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.core.errors import HeadwaterError
from stages.web.rules import example_texts
from stages.web.rules.classifier import Examples, HashedModel, Training, train
from stages.web.rules.page import Page
from stages.web.rules.words import Vocabulary

TRAINING = Training(positive=["good"], negative=["bad"], bits=14, epochs=5, learning_rate=1.0, seed=1)
GOOD = [
    f"The keeper of the {a} wrote down what the {b} did on day {n}." for a in "abc" for b in "xyz" for n in range(9)
]
BAD = [f"Buy {a} now and win {b} coupons, only {n} left today." for a in "abc" for b in "xyz" for n in range(9)]


def examples(folder: Path, good: list[str], bad: list[str]) -> list[Path]:
    for side, texts in (("good", good), ("bad", bad)):
        (folder / side).mkdir(parents=True, exist_ok=True)
        lines = (json.dumps({"text": text, "other": 1}) for text in texts)
        (folder / side / "texts.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return example_texts.files(folder, TRAINING.positive) + example_texts.files(folder, TRAINING.negative)


def test_learns_and_repeats(tmp_path: Path) -> None:
    inputs = examples(tmp_path, GOOD, BAD)
    metrics = [train(Examples(TRAINING, 1), inputs, {"model": tmp_path / f"{n}.npy"}) for n in (1, 2)]
    assert metrics[0] == metrics[1]
    assert metrics[0] | {"held_out": 0} == {
        "in": 162,
        "positive": 81,
        "negative": 81,
        "held_out": 0,
        "held_out_auc": 1.0,
    }
    assert (tmp_path / "1.npy").read_bytes() == (tmp_path / "2.npy").read_bytes()
    vocabulary = Vocabulary("en")
    model = HashedModel.load(tmp_path / "1.npy")
    texts = ["The keeper wrote down what he did.", "Win coupons now, only today."]
    wanted, unwanted = model([Page(text, vocabulary) for text in texts])
    assert wanted > 0.8
    assert unwanted < 0.2


def test_sides_weigh_the_same_however_many_examples_they_have(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    texts = [" ".join(noise.choice(list("abcdefghij"), 30)) for _ in range(900)]
    train(
        Examples(replace(TRAINING, epochs=2), 1),
        examples(tmp_path, texts[:100], texts[100:]),
        {"model": tmp_path / "m.npy"},
    )
    scores = HashedModel.load(tmp_path / "m.npy")([Page(text, Vocabulary("en")) for text in texts[:200]])
    assert 0.3 < np.mean(scores) < 0.7


def test_a_text_on_both_sides_counts_for_neither(tmp_path: Path) -> None:
    inputs = examples(tmp_path, [*GOOD, "Both."], [*BAD, "Both."])
    assert train(Examples(TRAINING, 1), inputs, {"model": tmp_path / "m.npy"})["in"] == 162


def test_too_few_examples(tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match="81 wanted and 3 unwanted examples are too few"):
        train(Examples(TRAINING, 1), examples(tmp_path, GOOD, BAD[:3]), {"model": tmp_path / "m.npy"})


def test_reads_text_files_and_parquet(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("one\ntext", "utf-8")
    pq.write_table(pa.table({"id": ["1", "2"], "text": ["two", None]}), tmp_path / "in" / "b.parquet")
    (tmp_path / "in" / "notes.md").write_text("not an example", "utf-8")
    files = example_texts.files(tmp_path, ["in"])
    assert [text for file in files for text in example_texts.read(file)] == ["one\ntext", "two"]


def test_rows_without_text_are_no_examples(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": null}\n{"text": "one"}\n{"text": ""}\n\n', "utf-8")
    pq.write_table(pa.table({"text": [None, "one", ""]}), tmp_path / "a.parquet")
    for suffix in ("jsonl", "parquet"):
        assert list(example_texts.read(tmp_path / f"a.{suffix}")) == ["one"]


@pytest.mark.parametrize("content", ['{"txt": 1}\n', '{"text": 1}\n', "[]\n", "no JSON\n", b"\xff\xfe"])
def test_what_is_no_example_is_named(content: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(HeadwaterError, match=r"a\.jsonl: no examples of text"):
        list(example_texts.read(path))


def test_a_name_without_texts(tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match=r"positive: no \.txt, \.jsonl, \.parquet file here"):
        example_texts.files(tmp_path, ["positive"])
