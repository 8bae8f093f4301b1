"""What the points of a learning curve are asked: a part, drawn by hash, of what the last model is asked."""

import json
from pathlib import Path

from stages.core import documents
from stages.scoring import cloze, learning_curve
from stages.scoring.cloze import Cloze
from tests import small_model

FOUR = Cloze(seed=1, questions_per_document=1, choices=2, context=40, continuation=20)
SENTENCE = "A page may hold\u2028what ends a line elsewhere,\u2029and still be\x85one line of JSON. "


def test_a_part_is_drawn_of_texts_that_hold_separators_of_lines(tmp_path: Path) -> None:
    shard = tmp_path / "00000.parquet"
    rows = [small_model.document(number, text=SENTENCE.replace("page", f"page {number}") * 4) for number in range(5)]
    small_model.write(shard, rows)
    (tmp_path / "made").mkdir()
    cloze.make(FOUR, [shard], {"tasks": tmp_path / "made" / "tasks"})
    asked = learning_curve.Curve(seed=1, documents=2, questions=3)
    outputs = {"documents": tmp_path / "part.parquet", "tasks": tmp_path / "tasks"}
    metrics = learning_curve.part(asked, [shard, tmp_path / "made" / "tasks"], outputs)
    whole, part = (
        (folder / f"{cloze.NAME}.jsonl").read_text("utf-8").split("\n")
        for folder in (tmp_path / "made" / "tasks", tmp_path / "tasks")
    )
    assert (metrics["in"], metrics["out"], len(list(documents.read(outputs["documents"])))) == (5, 2, 2)
    assert len(part) == 3 + 1
    assert set(part) < set(whole)
    assert any("\u2028" in line for line in whole)
    assert all(json.loads(line)["context"] for line in part[:-1])
