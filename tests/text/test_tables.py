"""Rows that a user brings: the same from every kind of file, and refused by file, row and column."""

import dataclasses
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.core.errors import HeadwaterError
from stages.text import completions, labelled, tables
from tests.text.columns import COLUMNS

ROWS = [{"text": "good,\nvery good", "label": "1"}, {"text": " bad ", "label": "0"}]


def write(folder: Path, name: str) -> Path:
    """The rows as a file of that kind."""
    path = folder / name
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n\n" for row in ROWS), "utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(ROWS), "utf-8")
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        path.write_text(f'\ufefftext{mark}label\r\n"good,\nvery good"{mark}1\r\n\r\n bad {mark}0\r\n', "utf-8")
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.json"])
def test_every_kind_of_file_gives_the_same_rows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = list(tables.read([write(tmp_path, name)], COLUMNS))
    assert [dict(row.values) for row in rows] == ROWS
    assert rows[0].source == f"{name}, row 1"


def test_sentences_of_conll_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\nPeter NNP B-NP B-PER\n", "utf-8")
    rows = [labelled.tags(row, COLUMNS) for row in tables.read([path], COLUMNS)]
    assert [row.words for row in rows] == [("EU", "rejects"), ("Peter",)]
    assert [row.labels for row in rows] == [("B-ORG", "O"), ("B-PER",)]


def test_a_column_may_lie_within_another_and_a_prompt_in_several() -> None:
    columns = dataclasses.replace(COLUMNS, prompt=("ask", "with.0.input"), completion="with.0.output")
    row = tables.Row("a, row 1", "a: row 1", {"ask": "Why?", "with": [{"input": "", "output": "So."}]})
    assert completions.completion(row, columns) == ("a, row 1", "Why?", "So.")
    row.values["with"][0]["input"] = "A weir."
    assert completions.completion(row, columns).prompt == "Why?\nA weir."


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,lable\nx,1\n", r"a\.csv: row 1: has no column 'label'; did you mean 'lable'\?"),
        ("a.csv", "text,label,label\nx,1,0\n", r"a\.csv: names column 'label' twice"),
        ("a.csv", "text,label\nx,1\nx\n", r"a\.csv: row 2: has 1 cell for 2 columns \(text, label\)"),
        ("a.csv", 'text,label\nx,1\n"x,1\n', r"a\.csv: row 2: not CSV: unexpected end of data"),
        ("a.csv", "text,label\nx,1\n ,1\n", r"a\.csv: row 2: column 'text' is empty"),
        ("a.csv", "text,label\nx,1\nx,\n", r"a\.csv: row 2: column 'label' is empty"),
        ("a.jsonl", '{"text": "x", "label": 1}\n{"text": 7, "label": 1}', r"row 2: column 'text' is not text: 7"),
        ("a.jsonl", '{"text": "x", "label": null}', r"row 1: column 'label' is empty"),
        ("a.jsonl", '{"text": "x", "label": 0.5}', r"row 1: column 'label' holds '0\.5', no name and no whole number"),
        ("a.jsonl", '{"text": "\\ud800", "label": 1}', r"row 1: holds half of a surrogate pair"),
        ("a.jsonl", '["x", 1]', r"row 1: needs an object with keys"),
        ("a.parquet", "text", r"a\.parquet: no Parquet file"),
        ("a.json", "text", r"a\.json: `datasets` cannot read it"),
    ],
)
def test_a_wrong_row_is_named(
    name: str, content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(HeadwaterError, match=message):
        [labelled.classes(row, COLUMNS) for row in tables.read([tmp_path / name], COLUMNS)]


def test_parquet_that_is_damaged_inside_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"number {number}" for number in range(9000)]}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[200:4000] = bytes(3800)
    path.write_bytes(content)
    with pytest.raises(HeadwaterError, match=r"a\.parquet: no Parquet file, or a damaged one: "):
        list(tables.read([path], COLUMNS))


def test_a_column_of_parquet_that_is_there_twice_is_named(tmp_path: Path) -> None:
    columns = [pa.array(["x"]), pa.array([1]), pa.array([0])]
    pq.write_table(pa.Table.from_arrays(columns, names=["text", "label", "label"]), tmp_path / "a.parquet")
    with pytest.raises(HeadwaterError, match=r"a\.parquet: names column 'label' twice"):
        list(tables.read([tmp_path / "a.parquet"], COLUMNS))


def test_text_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    for name in ("a.csv", "a.conll"):
        (tmp_path / name).write_bytes(b"text,label x\n" + b"x,1 O\n" * 4000 + b"\xff O\n")
        with pytest.raises(HeadwaterError, match=rf"{name}: line 4002: not UTF-8: invalid start byte"):
            list(tables.read([tmp_path / name], COLUMNS))


def test_a_file_that_is_measured_on_is_not_learned_from(tmp_path: Path) -> None:
    learned, held = write(tmp_path, "a.csv"), write(tmp_path, "test.csv")
    (tmp_path / "README.md").write_text("not a row")
    assert tables.files(tmp_path, "test.csv") == ([learned], [held])
    assert tables.files(tmp_path, "") == ([learned, held], [])
    with pytest.raises(HeadwaterError, match=r"holds no tests\.csv \(finetune\.rows\.test\.file\); did you mean"):
        tables.files(tmp_path, "tests.csv")
    learned.unlink()
    with pytest.raises(HeadwaterError, match=r"holds nothing to learn from: put files there that end in \.arrow"):
        tables.files(tmp_path, "test.csv")
