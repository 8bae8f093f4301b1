"""Evaluation texts are found in whatever a user has, and a broken file is named."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.core.errors import HeadwaterError
from stages.web.duplicates import evaluation_texts


def test_reads_every_string(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("whole\n\ntext", "utf-8")
    (tmp_path / "rows.jsonl").write_text(
        json.dumps({"q": "why", "choices": [{"t": "a"}, "b"], "n": 1}) + "\n\n", "utf-8"
    )
    (tmp_path / "cells.csv").write_text('text,label\n"a, b",1\n', "utf-8")
    (tmp_path / "tags.conll").write_text("Ada B-PER\nleft O\n\nLondon B-LOC\n", "utf-8")
    (tmp_path / "words.jsonl").write_text(json.dumps({"tokens": ["Ada", "left"], "n": ["a b", "c"]}), "utf-8")
    (tmp_path / "deep").mkdir()
    pq.write_table(
        pa.table({"text": ["x", None], "n": [1, 2], "more": [["y"], []]}), tmp_path / "deep" / "table.parquet"
    )
    for ignored in ("README.md", "task.yaml", ".hidden.txt"):
        (tmp_path / ignored).write_text("not read", "utf-8")
    found = {path.name: list(evaluation_texts.read(path)) for path in evaluation_texts.files(tmp_path)}
    assert found == {
        "cells.csv": ["a, b", "1"],
        "table.parquet": ["x", "y"],
        "plain.txt": ["whole\n\ntext"],
        "rows.jsonl": ["why", "a", "b"],
        "tags.conll": ["Ada left", "London"],
        "words.jsonl": ["Ada left", "a b", "c"],
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.jsonl", b'{"a": 1}\n{"a": \n', "bad.jsonl: line 2 is not JSON"),
        ("bad.csv", b'a,b\n1,"2\n', "bad.csv: line 2 is not CSV"),
        ("bad.parquet", b"PAR1 not really", "bad.parquet: not a Parquet file"),
        ("bad.txt", b"abc\xff", "bad.txt: not UTF-8 at byte 3"),
    ],
)
def test_names_what_is_broken(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(HeadwaterError, match=message):
        list(evaluation_texts.read(tmp_path / name))
