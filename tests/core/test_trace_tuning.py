"""A page is traced to the steps of fine-tuning that saw it, and a step to its pages."""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from stages.core.trace import __main__ as trace
from stages.core.trace import lineage, training
from stages.training import seen
from tests import small_model

OUTS = ("model", "log.csv", "spikes.json", "seen.parquet")


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A build of three documents and four steps, of which the second was not learned from; gives the documents."""
    monkeypatch.chdir(tmp_path)
    documents = [small_model.document(number) for number in range(3)]
    small_model.write(Path("data/decontaminate/training/00000.parquet"), documents)
    Path("data/finetune/model").mkdir(parents=True)
    Path("data/finetune/model/config.json").write_text("{}", "utf-8")
    Path("data/finetune/log.csv").write_text("step,loss\n1,1\n2,1\n3,1\n4,1\n", "utf-8")
    Path("data/finetune/spikes.json").write_text(json.dumps([{"step": 2, "back_to": None}]), "utf-8")
    first, second = (f"document {one['id']}, heading 1" for one in documents[:2])
    rows = {
        "batch": [0, 1, 1, 2, 3, 3],
        "source": [first, first, second, second, documents[0]["id"], "mine.jsonl, row 7"],
    }
    pq.write_table(pa.table(rows, schema=seen.SCHEMA), "data/finetune/seen.parquet")
    trained = {"path": "data/decontaminate/training", "md5": "0.dir"}
    stages = {
        "decontaminate": {"cmd": "", "outs": [trained]},
        "finetune": {
            "cmd": "",
            "deps": [trained, {"path": "data/pack", "md5": "1.dir"}],  # of tokens, where it distils over them
            "outs": [{"path": f"data/finetune/{name}", "md5": "0"} for name in OUTS],
        },
    }
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": stages}), "utf-8")
    return documents


def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[dict[str, Any]]:
    monkeypatch.setattr(sys, "argv", ["trace", *arguments, "--json"])
    trace.main()
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(("number", "steps"), [(0, [1, 4]), (1, [3]), (2, [])])
def test_steps_that_learned_from_a_page(
    build: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    steps: list[int],
) -> None:
    facts = ask(capsys, monkeypatch, "id", build[number]["id"])
    assert [fact["steps"] for fact in facts if fact["fact"] == "tuned"] == ([steps] if steps else [])
    assert [fact["path"] for fact in facts if fact["fact"] == "model"] == ["data/finetune/model"] * bool(steps)


def test_what_a_step_was_made_of(
    build: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = ask(capsys, monkeypatch, "step", "data/finetune/model", "4")
    made = [fact for fact in facts if fact["fact"] == "seen"]
    assert made[0] | {"fact": "seen", "id": build[0]["id"], "url": build[0]["url"]} == made[0]
    assert made[1]["made_of"] == "mine.jsonl, row 7"
    assert ask(capsys, monkeypatch, "step", "data/finetune/model", "2")[0]["fact"] == "skipped"
    monkeypatch.setattr(sys, "argv", ["trace", "step", "data/export", "2"])
    trace.main()
    assert "no model that was trained here; these were: data/finetune/model" in capsys.readouterr().err


def test_a_run_that_tells_its_sources_is_not_taken_for_one_over_packed_rows(build: list[dict[str, Any]]) -> None:
    assert training.trainers(lineage.Lineage(), Path("data/pack")) == []
