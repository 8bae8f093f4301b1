"""The decontaminate stage: what is held out, what overlaps, what is boilerplate."""

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stages import decontaminate as stage
from stages.core import documents
from stages.core.errors import HeadwaterError
from stages.core.params import load
from stages.core.stage import Metrics

PARAMS = replace(
    load(stage.Params, "decontaminate"), heldout_share=0.1, heldout_max_documents=1000, max_heldout_overlap=0.0
)


def prose(seed: str, words: int = 40) -> str:
    draw = random.Random(seed)
    return " ".join("".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(words))


def document(number: int, text: str) -> dict[str, Any]:
    return {
        "id": f"{number:032x}",
        "url": f"https://site.example/{number}",
        "date": "2026-01-01T00:00:00Z",
        "source": "a.warc.gz",
        "offset": number,
        "language": "en",
        "language_score": 1.0,
        "title": "",
        "published": "",
        "text": text,
    }


def run(
    folder: Path,
    rows: list[dict[str, Any]],
    params: stage.Params = PARAMS,
    shards: int = 3,
    extra: Sequence[pa.Field] = (),
) -> Metrics:
    (folder / "documents").mkdir(parents=True)
    for name in ("evaluation", "tuning"):
        (folder / name).mkdir(exist_ok=True)
    for number in range(shards):
        with documents.Writer(folder / "documents" / f"{number:05d}.parquet", extra) as writer:
            for row in rows[number::shards]:
                writer.write(row)
    paths = {name: folder / name for name in ("documents", "evaluation", "tuning", "training", "heldout", "dropped")}
    return stage.run(params, **paths)


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for path in sorted(folder.iterdir()) for row in documents.read(path)}


def test_every_document_is_in_one_place(profile: Path, tmp_path: Path) -> None:
    everything = [document(number, prose(str(number))) for number in range(300)]
    metrics = run(tmp_path, everything)
    training, heldout = rows(tmp_path / "training"), rows(tmp_path / "heldout")
    assert {**training, **heldout} == {row["id"]: row for row in everything}
    assert not training.keys() & heldout.keys()
    assert 15 <= len(heldout) == metrics["dropped"]["held_out"] <= 45
    assert metrics["in"] == 300
    assert metrics["out"] == len(training)


def test_scores_of_earlier_stages_stay_with_their_documents(profile: Path, tmp_path: Path) -> None:
    everything = [document(number, prose(str(number % 150))) | {"quality": number / 300} for number in range(300)]
    run(tmp_path, everything, replace(PARAMS, common_after=1), extra=[pa.field("quality", pa.float64())])
    found = [rows(tmp_path / name) for name in ("training", "heldout", "dropped")]
    assert all(found)
    for one in found:
        assert {name: row["quality"] for name, row in one.items()} == {name: int(name, 16) / 300 for name in one}


def test_the_draw_of_a_document_does_not_depend_on_others(profile: Path, tmp_path: Path) -> None:
    everything = [document(number, prose(str(number))) for number in range(300)]
    run(tmp_path / "all", everything)
    run(tmp_path / "half", everything[:150], shards=2)
    run(tmp_path / "other", everything, replace(PARAMS, seed=1))
    drawn = set(rows(tmp_path / "all" / "heldout"))
    assert set(rows(tmp_path / "half" / "heldout")) == drawn & {row["id"] for row in everything[:150]}
    assert set(rows(tmp_path / "other" / "heldout")) != drawn


def test_the_cap_takes_the_first_of_the_draw(profile: Path, tmp_path: Path) -> None:
    everything = [document(number, prose(str(number))) for number in range(300)]
    run(tmp_path / "all", everything)
    run(tmp_path / "capped", everything, replace(PARAMS, heldout_max_documents=7))
    capped = set(rows(tmp_path / "capped" / "heldout"))
    assert len(capped) == 7
    assert capped < set(rows(tmp_path / "all" / "heldout"))


def test_overlaps_are_dropped_and_named(profile: Path, tmp_path: Path) -> None:
    everything = [document(number, prose(str(number))) for number in range(100)]
    run(tmp_path / "before", everything)
    training, heldout = (list(rows(tmp_path / "before" / name)) for name in ("training", "heldout"))
    held = next(row for row in everything if row["id"] == heldout[0])["text"].split()
    question, passage = prose("question", 13), prose("passage", 30)
    (tmp_path / "after" / "evaluation").mkdir(parents=True)
    line = json.dumps({"question": question, "answers": [prose("short", 12)]})
    (tmp_path / "after" / "evaluation" / "quiz.jsonl").write_text(line + "\n", "utf-8")
    (tmp_path / "after" / "evaluation" / "book.txt").write_text(passage, "utf-8")
    texts = {
        training[0]: f"# Title\n\n{question.upper().replace(' ', ', ')}?",
        training[1]: prose("a") + " " + " ".join(passage.split()[10:23]),
        training[2]: prose("b") + " " + " ".join(held[5:18]),
        training[3]: prose("c") + " " + " ".join(held[5:17]) + " and " + prose("short", 12),
    }
    metrics = run(tmp_path / "after", [{**row, "text": texts.get(row["id"], row["text"])} for row in everything])
    dropped = rows(tmp_path / "after" / "dropped")
    assert {key: (row["reason"], row["overlaps"], row["overlap"]) for key, row in dropped.items()} == {
        training[0]: ("evaluation_overlap", "quiz.jsonl", question),
        training[1]: ("evaluation_overlap", "book.txt", " ".join(passage.split()[10:23])),
        training[2]: ("heldout_overlap", "held-out documents", " ".join(held[5:18])),
    }
    assert metrics["dropped"] == {"evaluation_overlap": 2, "held_out": len(heldout), "heldout_overlap": 1}
    assert metrics["evaluation"] == {"files": 2, "texts": 3, "short_texts": 1, "copied_texts": 0}


def test_rows_that_tuning_is_measured_on_are_kept_out_of_the_training_documents(profile: Path, tmp_path: Path) -> None:
    everything = [document(number, prose(str(number))) for number in range(60)]
    run(tmp_path / "before", everything)
    told = [row["text"].split()[:14] for row in rows(tmp_path / "before" / "training").values()]
    tuning = tmp_path / "after" / "tuning"
    tuning.mkdir(parents=True)
    (tuning / "test.csv").write_text(f'text,label\n"{", ".join(told[0])}",1\n', "utf-8")
    (tuning / "test.conll").write_text("".join(f"{word} O\n" for word in told[1]), "utf-8")
    (tuning / "train.csv").write_text(f"text,label\n{' '.join(told[2])},1\n", "utf-8")
    metrics = run(tmp_path / "after", everything, replace(PARAMS, tested=("test.conll", "test.csv")))
    dropped = rows(tmp_path / "after" / "dropped").values()
    assert {row["overlaps"] for row in dropped} == {"test.csv", "test.conll"}
    assert metrics["dropped"]["evaluation_overlap"] == 2
    assert metrics["evaluation"]["files"] == 2
    shutil.rmtree(tmp_path / "after" / "documents")
    with pytest.raises(HeadwaterError, match=r"no tests.csv \(decontaminate.tested\); did you mean 'test.csv'"):
        run(tmp_path / "after", everything, replace(PARAMS, tested=("tests.csv",)))


def test_what_many_documents_share_is_boilerplate(profile: Path, tmp_path: Path) -> None:
    licence = prose("licence", 20)
    everything = [document(number, prose(str(number)) + "\n" + licence) for number in range(60)]
    assert run(tmp_path / "ignored", everything)["dropped"]["heldout_overlap"] == 0
    with pytest.raises(HeadwaterError, match="no document is left to train on"):
        run(tmp_path / "counted", everything, replace(PARAMS, common_after=60))


def test_a_question_that_many_documents_hold_is_no_boilerplate(profile: Path, tmp_path: Path) -> None:
    everything = [document(number, prose(str(number))) for number in range(120)]
    run(tmp_path / "before", everything)
    training = list(rows(tmp_path / "before" / "training"))
    question, licence, template = prose("question", 20), prose("licence", 20), prose("template", 14)
    (tmp_path / "after" / "evaluation").mkdir(parents=True)
    tasks = [question, f"{licence} {prose('book', 60)}", f"{template} {prose('what', 30)}"]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in tasks)
    (tmp_path / "after" / "evaluation" / "quiz.jsonl").write_text(lines, "utf-8")
    added = [f" {text}" for text in (question, licence, template) for _ in range(20)]
    texts = dict(zip(training, added, strict=False))
    copied, quoted = training[:20], training[60]
    texts[quoted] = " " + " ".join(question.split()[:13])  # a run of it is as good as all
    changed = [{**row, "text": row["text"] + texts.get(row["id"], "")} for row in everything]
    metrics = run(tmp_path / "after", changed)
    dropped = rows(tmp_path / "after" / "dropped")
    assert set(dropped) == {*copied, quoted}
    assert {row["reason"] for row in dropped.values()} == {"evaluation_overlap"}
    assert metrics["evaluation"]["copied_texts"] == 1


def test_a_document_may_share_some_of_its_text_with_held_out_ones_but_not_most(profile: Path, tmp_path: Path) -> None:
    everything = [document(number, prose(str(number))) for number in range(100)]
    run(tmp_path / "before", everything)
    training, heldout = (list(rows(tmp_path / "before" / name)) for name in ("training", "heldout"))
    held = next(row for row in everything if row["id"] == heldout[0])["text"]
    texts = {training[0]: f"{prose('a', 60)} {held}", training[1]: f"{prose('b', 10)} {held}"}
    changed = [{**row, "text": texts.get(row["id"], row["text"])} for row in everything]
    run(tmp_path / "after", changed, replace(PARAMS, max_heldout_overlap=0.5))
    assert set(rows(tmp_path / "after" / "dropped")) == {training[1]}


def test_nothing_held_out_names_the_parameter(profile: Path, tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match=r"none of 5 documents is held out; raise decontaminate.heldout_share"):
        run(tmp_path, [document(n, prose(str(n))) for n in range(5)], replace(PARAMS, heldout_share=0.0))
