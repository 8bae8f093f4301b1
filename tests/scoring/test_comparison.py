"""Figures from sums, their errors, and what is said of two models that were asked the same."""

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lm_eval.api import metrics

from stages.core.errors import HeadwaterError
from stages.scoring import bits_per_byte, comparison, questions
from stages.scoring.compare import main
from stages.scoring.questions import Measure

PAIRS = [
    ("the cat sat on the mat", "the cat sat on a mat"),
    ("a request is read by the server", "the server reads a request"),
    ("ein großer Hund läuft", "ein Hund läuft schnell"),
    ("日本語の文章", "日本の文"),
] * 5


def answers(right: Sequence[bool], names: Sequence[str] = ()) -> Measure:
    named = names or [str(number) for number in range(len(right))]
    found = questions.measure("quiz", "acc", "mean", True, named, right)
    assert found is not None
    return found


def documents(bits: Sequence[float]) -> Measure:
    sums = np.array([[one, 100.0 + number] for number, one in enumerate(bits)])
    return Measure("held_out", "bits_per_byte", "ratio", False, [str(number) for number in range(len(bits))], sums)


@pytest.mark.parametrize("aggregation", [metrics.bleu, metrics.chrf, metrics.chrfpp, metrics.ter])
def test_a_figure_of_texts_is_that_of_sacrebleu(aggregation: object) -> None:
    name = aggregation.__name__  # type: ignore[attr-defined]
    found = questions.measure("translate", name, name, True, [str(i) for i in range(20)], PAIRS)
    assert found is not None
    assert found.value() == pytest.approx(aggregation(PAIRS))  # type: ignore[operator]
    draws = random.Random(1)
    spread = np.std([aggregation(draws.choices(PAIRS, k=20)) for _ in range(300)])  # type: ignore[operator]
    assert found.error() == pytest.approx(spread, rel=0.2)


def test_errors_with_a_formula_are_those_of_the_formula() -> None:
    right = [number % 3 == 0 for number in range(90)]
    assert answers(right).error() == pytest.approx(metrics.mean_stderr([float(one) for one in right]))
    generator = random.Random(1)
    scored = documents([generator.uniform(100, 300) for _ in range(60)])
    figures = bits_per_byte.ratio(scored.statistics[:, 0].tolist(), scored.statistics[:, 1].tolist())
    assert (scored.value(), scored.error()) == pytest.approx((figures["bits_per_byte"], figures["stderr"]))
    assert scored.figure(questions.draw(scored.statistics)).std() == pytest.approx(figures["stderr"], rel=0.1)


def test_a_change_that_all_documents_share_is_told_although_documents_differ_far_more() -> None:
    generator = random.Random(1)
    before = [generator.uniform(100, 400) for _ in range(60)]
    after = [one - 2 + generator.gauss(0, 2) for one in before]
    found = comparison.compare(documents(before), documents(after))
    assert found is not None
    assert found.verdict == "better"  # fewer bits are
    assert found.low is not None
    assert found.high is not None
    error = documents(before).error()
    assert error is not None
    assert found.low < found.after - found.before < found.high < 0
    assert abs(found.after - found.before) < error / 2  # side by side, the two figures would not be told apart
    assert comparison.compare(documents(after), documents(before)).verdict == "worse"  # type: ignore[union-attr]


def test_of_equal_models_one_in_twenty_changes_is_called_one() -> None:
    generator = random.Random(1)
    verdicts = []
    for _ in range(200):
        before, after = ([generator.random() < 0.4 for _ in range(100)] for _ in range(2))
        found = comparison.compare(answers(before), answers(after))
        assert found is not None
        verdicts.append(found.verdict)
    assert 2 <= 200 - verdicts.count("not told apart") <= 20


def test_questions_of_one_document_are_drawn_together() -> None:
    generator = random.Random(1)
    groups = [f"document {number // 10}" for number in range(300)]
    found = []
    for _ in range(200):
        # In each document both models know as much in the mean over all documents, and one knows more in this one.
        shares = [generator.choice([(0.3, 0.6), (0.6, 0.3)]) for _ in range(30)]
        before, after = (
            dataclasses.replace(
                answers([generator.random() < shares[number // 10][model] for number in range(300)]), groups=groups
            )
            for model in range(2)
        )
        found.append(comparison.compare(before, after))
    assert 2 <= sum(one is not None and one.verdict != "not told apart" for one in found) <= 20
    assert found[0] is not None
    assert found[0].questions == 300
    of_documents = np.array([before.statistics[ten : ten + 10, 0].mean() for ten in range(0, 300, 10)])
    assert before.error() == pytest.approx(of_documents.std(ddof=1) / 30**0.5)


def test_answers_that_were_kept_without_their_documents_are_still_compared(tmp_path: Path) -> None:
    right = [number % 3 == 0 for number in range(40)]
    groups = [f"document {number // 2}" for number in range(40)]
    new = dataclasses.replace(answers(right), groups=groups)
    questions.write(tmp_path / "new.parquet", [new])
    (again,) = questions.read(tmp_path / "new.parquet")
    assert again.groups == groups
    table = pq.read_table(tmp_path / "new.parquet").drop_columns(["group"])
    pq.write_table(table, tmp_path / "old.parquet")
    (old,) = questions.read(tmp_path / "old.parquet")
    assert not old.groups
    assert comparison.compare(old, new) == comparison.compare(new, new)


def test_only_questions_of_both_are_compared_and_few_of_them_tell_nothing() -> None:
    before = answers([False] * 12, [f"old {number}" for number in range(3)] + [f"q{number}" for number in range(9)])
    after = answers([True] * 12, [f"q{number}" for number in range(9)] + [f"new {number}" for number in range(3)])
    found = comparison.compare(before, after)
    assert found is not None
    assert (found.questions, found.before, found.after) == (9, 0, 1)
    assert (found.low, found.verdict) == (None, "not told apart")
    assert comparison.compare(before, answers([True], ["other"])) is None


def test_the_order_of_the_questions_changes_nothing() -> None:
    before, after = documents([200.0 + 7 * (n % 5) for n in range(40)]), documents([198.0 + n % 7 for n in range(40)])
    turned = [
        dataclasses.replace(one, questions=one.questions[::-1], statistics=one.statistics[::-1])
        for one in (before, after)
    ]
    assert comparison.compare(*turned) == comparison.compare(before, after)


def test_two_folders_of_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, shift in (("old", 0.0), ("new", 30.0)):
        (tmp_path / name).mkdir()
        for model, more in (("pretrained", 20.0), ("tuned", 0.0)):
            rows = [{"id": f"{n:032x}", "bits": 250.0 + 9 * (n % 4) + more - shift, "bytes": 100} for n in range(20)]
            table = pa.Table.from_pylist(rows)
            pq.write_table(table, tmp_path / name / f"{model}.parquet")
            questions.write(tmp_path / name / f"{model}_questions.parquet", [answers([n % 2 == 0 for n in range(20)])])
    assert main([str(tmp_path / "old"), str(tmp_path / "new")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[:2] == ["held_out", "bits_per_byte"]
    assert lines[2].endswith("better")
    assert lines[3].endswith("not told apart")
    assert main([str(tmp_path / "old")]) == 0
    assert "pretrained" in capsys.readouterr().out
    assert main([str(tmp_path / "old"), str(tmp_path)]) == 1
    assert capsys.readouterr().err.endswith("tuned.parquet: no such file; run `dvc repro evaluate`\n")
    files = [tmp_path / "none.parquet", tmp_path / "none_questions.parquet"]
    pq.write_table(table.slice(0, 0), files[0])
    questions.write(files[1], [])
    with pytest.raises(HeadwaterError, match="no document and no question in common"):
        comparison.differences(files, [tmp_path / "new/tuned.parquet", tmp_path / "new/tuned_questions.parquet"])


def test_draws_are_added_in_one_order_whatever_the_memory() -> None:
    statistics = np.random.default_rng(3).random((60, 4)) * 1e4
    rows = np.unique(statistics, axis=0)
    counts = np.random.default_rng(questions._SEED).multinomial(60, np.full(60, 1 / 60), questions.RESAMPLES)
    sums = questions.draw(statistics)
    for draw in range(0, questions.RESAMPLES, 97):
        for column in range(4):
            total = 0.0
            for times, value in zip(counts[draw].tolist(), rows[:, column].tolist(), strict=True):
                total += times * value
            assert sums[draw, column] == total
