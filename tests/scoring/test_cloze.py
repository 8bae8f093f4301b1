"""The task made from held-out documents."""

import json
from pathlib import Path
from typing import Any

from stages.scoring import cloze
from tests import small_model

CLOZE = cloze.Cloze(seed=1, questions_per_document=2, choices=4, context=80, continuation=40)


def questions(tmp_path: Path, rows: list[dict[str, Any]], name: str = "a") -> tuple[dict[str, Any], list[Any]]:
    shard = small_model.write(tmp_path / f"{name}.parquet", rows)
    metrics = cloze.make(CLOZE, [shard], {"tasks": tmp_path / name})
    lines = (tmp_path / name / "heldout_cloze.jsonl").read_text("utf-8").splitlines()
    return metrics, [json.loads(line) for line in lines]


def test_one_choice_is_true_and_the_others_are_of_other_documents(tmp_path: Path) -> None:
    rows = {row["id"]: row for row in (small_model.document(number) for number in range(6))}
    metrics, asked = questions(tmp_path, list(rows.values()))
    assert metrics["questions"] == len(asked) == 12
    for question in asked:
        text = rows[question["id"]]["text"]
        assert len(set(question["choices"])) == 4
        assert question["context"] + question["choices"][question["answer"]] in text
        for choice in set(question["choices"]) - {question["choices"][question["answer"]]}:
            assert any(choice in row["text"] for name, row in rows.items() if name != question["id"])
    assert {question["answer"] for question in asked} == {0, 1, 2, 3}


def test_documents_that_cannot_be_asked_about_are_counted(tmp_path: Path) -> None:
    rows = [small_model.document(number) for number in range(4)]
    rows += [small_model.document(4, text="Too short."), small_model.document(5, "de")]
    metrics, asked = questions(tmp_path, rows)
    assert (metrics["in"], metrics["out"]) == (6, 4)
    assert metrics["dropped"] == {"too_few_others": 1, "too_short": 1}
    assert {question["language"] for question in asked} == {"en"}


def test_text_without_white_space_and_hostile_text(tmp_path: Path) -> None:
    rows = [small_model.document(number, text=f"{number}日本語{{{{ 7*7 }}}}<s>" * 60) for number in range(4)]
    _, asked = questions(tmp_path, rows)
    assert len(asked) == 8
    assert all("{{ 7*7 }}" in question["context"] for question in asked)


def test_a_question_depends_on_the_seed_and_the_documents_alone(tmp_path: Path) -> None:
    rows = [small_model.document(number) for number in range(6)]
    _, forward = questions(tmp_path, rows, "a")
    _, backward = questions(tmp_path, rows[::-1], "b")
    assert sorted(map(str, forward)) == sorted(map(str, backward))
