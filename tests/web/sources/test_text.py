import gc
import gzip
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import extract
from stages.core import documents, params
from stages.core.errors import HeadwaterError
from stages.web.sources import captures
from tests import warcs
from tests.crawled import records, run, texts


def lines(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def rows(count: int, size: int = 5) -> list[dict[str, str]]:
    return [{"text": f"# Row {number}\n\n" + f"word{number} " * size} for number in range(count)]


def table(path: Path, columns: dict[str, Any], row_group: int = 100) -> None:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=row_group)


def test_files_of_every_kind_become_records_with_url_and_date(profile: Path, tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    warcs.write(incoming / "README.md", b"not a text")
    warcs.write(incoming / "books" / "a book.txt", "# Títle\n\nText.\n".encode())
    warcs.write(incoming / "b.md.gz", gzip.compress(b"Compressed.", mtime=0))
    page = {"text": "A page.", "url": "https://example.org/a b", "date": "2024-05-06T07:08:09.5+00:00"}
    warcs.write(incoming / "c.jsonl", lines([page, {"text": "Second.", "url": "no URL", "date": "2024-02-31"}]))
    warcs.write(incoming / "d.jsonl.gz", gzip.compress(lines([{"text": "Third."}]), mtime=0))
    table(incoming / "e.parquet", {"text": ["Fourth."], "date": [None], "more": [1]})
    metrics, _, manifest = run(tmp_path, source="text")
    assert texts(tmp_path) == {
        "http://text.invalid/books/a%20book.txt/0": "# Títle\n\nText.\n",
        "http://text.invalid/b.md.gz/0": "Compressed.",
        "https://example.org/a%20b": "A page.",
        f"http://text.invalid/c.jsonl/{len(lines([page]))}": "Second.",
        "http://text.invalid/d.jsonl.gz/0": "Third.",
        "http://text.invalid/e.parquet/0": "Fourth.",
    }
    assert metrics["in"] == metrics["out"] == manifest["pages"] == 6
    assert [one["name"] for one in manifest["files"]] == [
        "b.md.gz", "books/a book.txt", "c.jsonl", "d.jsonl.gz", "e.parquet",
    ]  # fmt: skip
    assert records(tmp_path)["https://example.org/a%20b"].date == "2024-05-06T07:08:09Z"
    assert records(tmp_path)["http://text.invalid/e.parquet/0"].date == captures.UNKNOWN_DATE


def test_texts_are_read_in_the_encoding_that_they_are_in(profile: Path, tmp_path: Path) -> None:
    german, russian = "Grüße – das „Wetter“ ist schön, 3 €.", "Сегодня хорошая погода, и мы идём гулять в парк."
    written = {"utf-16": german, "utf-8-sig": german, "cp1252": german, "koi8-r": russian, "cp1251": russian}
    for encoding, text in written.items():
        warcs.write(tmp_path / "incoming" / f"{encoding}.txt", text.encode(encoding))
    run(tmp_path, source="text")
    assert texts(tmp_path) == {f"http://text.invalid/{name}.txt/0": text for name, text in written.items()}


def test_dates_of_every_type_are_in_utc(profile: Path, tmp_path: Path) -> None:
    moment = datetime(2020, 1, 2, 3, 4, 5)
    at_three = {
        "text": moment.isoformat(),
        "offset": "2020-01-02T05:04:05+02:00",
        "named": "2020-01-02 03:04:05 UTC",
        "moment": moment,
        "zone": pa.array([moment], pa.timestamp("ns", "Europe/Berlin")),
    }
    days = {"day": date(2020, 1, 2), "rough": "2020-01-02, in the morning"}
    for name, value in {**at_three, **days}.items():
        table(tmp_path / "incoming" / f"{name}.parquet", {"text": ["A."], "date": value if name == "zone" else [value]})
    run(tmp_path, source="text")
    found = {url.split("/")[3].split(".")[0]: record.date for url, record in records(tmp_path).items()}
    assert found == dict.fromkeys(at_three, "2020-01-02T03:04:05Z") | dict.fromkeys(days, "2020-01-02T00:00:00Z")


def test_empty_files_and_blank_lines_are_no_rows(profile: Path, tmp_path: Path) -> None:
    for name in ("a.csv", "b.jsonl", "c.json"):
        warcs.write(tmp_path / "incoming" / name, b"")
    warcs.write(tmp_path / "incoming" / "d.jsonl", b'{"text": "One."}\n\n \n{"text": "Two."}\n\n')
    metrics, _, _ = run(tmp_path, source="text")
    assert (metrics["in"], metrics["out"]) == (2, 2)


def test_columns_of_text_of_every_type(profile: Path, tmp_path: Path) -> None:
    plain = pa.array(["One.", "Two.", "One."])
    for name, column in {"a": plain.dictionary_encode(), "b": plain.cast(pa.string_view())}.items():
        table(tmp_path / "incoming" / f"{name}.parquet", {"text": column})
    metrics, _, _ = run(tmp_path, source="text")
    assert metrics["out"] == 6


def test_extract_keeps_the_structure_of_a_text(profile: Path, tmp_path: Path) -> None:
    text = "# Title\n\nA paragraph of words.\n\n- one\n- two\n\n```\nx = 1\n    y\n```"
    warcs.write(tmp_path / "incoming" / "a.md", text.encode())
    run(tmp_path, source="text")
    extract.run(
        params.load(extract.Params, "extract"),
        warcs=tmp_path / "out" / "warcs", documents=tmp_path / "documents", dropped=tmp_path / "dropped",
    )  # fmt: skip
    (path,) = (tmp_path / "documents").iterdir()
    assert [document["text"] for document in documents.read(path)] == [text]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_large_file_is_cut_without_losing_or_doubling_a_row(profile: Path, tmp_path: Path, kind: str) -> None:
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    whole = rows(200, 30)
    if kind == "jsonl":
        warcs.write(incoming / "a.jsonl", lines(whole)[:-1])
    else:
        table(incoming / "a.parquet", {"text": [row["text"] for row in whole]}, row_group=13)
    metrics, written, _ = run(tmp_path, source="text", shard_mb=0.004)
    assert metrics["out"] == 200
    assert len(written) > 5
    assert list(texts(tmp_path).values()) == [row["text"] for row in whole]


def test_one_more_file_costs_only_itself(profile: Path, tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    warcs.write(incoming / "big.jsonl", lines(rows(100)))
    for number in range(40):
        warcs.write(incoming / f"{number:02}.txt", f"Text {number}. ".encode() * 50)
    _, before, _ = run(tmp_path, source="text", shard_mb=0.003)
    warcs.write(incoming / "07b.txt", b"One more.")
    warcs.write(incoming / "more.jsonl", lines(rows(100)))
    _, after, _ = run(tmp_path, source="text", shard_mb=0.003)
    assert len(before) > 8
    changed = {name for name in before if after.get(name) != before[name]}
    assert len(changed) <= 1
    assert sum(name.startswith("more.jsonl-") for name in after) == len([n for n in after if n not in before])


def test_rows_without_text_are_counted_by_reason(profile: Path, tmp_path: Path) -> None:
    bad = b'{"text": 5}\n{"text": "  "}\n[1]\n{"tex\n\xff\xfe\n{"other": "x"}\n'
    warcs.write(tmp_path / "incoming" / "a.jsonl", lines([{"text": "Good."}]) + bad)
    metrics, _, _ = run(tmp_path, source="text")
    assert (metrics["in"], metrics["out"]) == (7, 1)
    assert metrics["dropped"] == {"damaged": 3, "no_text": 3, "not_sampled": 0}


def test_a_sample_is_part_of_every_larger_one(profile: Path, tmp_path: Path) -> None:
    warcs.write(tmp_path / "incoming" / "a.jsonl", lines([*rows(20), {"text": ""}]))
    taken = []
    for count in (4, 9):
        metrics, _, _ = run(tmp_path, source="text", max_pages=count)
        assert metrics["dropped"] == {"no_text": 1, "not_sampled": 20 - count}
        taken.append(set(texts(tmp_path)))
    assert taken[0] < taken[1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"content": "x", "id": 1}\n', "a.jsonl: no column 'text'.*did you mean 'content'"),
        ("a.jsonl", b"no JSON\n", r"no pages in \S+ that crawl\.source text reads: crawl\.text"),
        ("a.parquet", b"no Parquet", "a.parquet: no Parquet file"),
        ("a.jsonl.gz", b"not gzip", "a.jsonl.gz: could not be read"),
        ("a.txt", b" \n", r"no pages in \S+ that crawl\.source text reads: crawl\.text"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_line(
    profile: Path, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    warcs.write(tmp_path / "incoming" / name, content)
    with pytest.raises(HeadwaterError, match=message) as caught:
        run(tmp_path, source="text")
    assert "\n" not in str(caught.value)


def test_a_parquet_without_the_column_is_told_what_it_has(profile: Path, tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    table(tmp_path / "incoming" / "a.parquet", {"body": ["x"], "number": [1]})
    with pytest.raises(HeadwaterError, match=r"no column 'text' \(crawl\.text\.text_column\); it has body, number"):
        run(tmp_path, source="text")
    with pytest.raises(HeadwaterError, match=r"column 'number'.* holds int64, not text"):
        run(tmp_path, source="text", text={"text_column": "number"})
    run(tmp_path, source="text", text={"text_column": "body"})
    assert list(texts(tmp_path).values()) == ["x"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # `datasets` leaves files open
def test_other_files_are_read_as_datasets_reads_them(profile: Path, tmp_path: Path) -> None:
    import datasets

    incoming = tmp_path / "incoming"
    warcs.write(incoming / "a.csv", b"text,url\nFirst.,http://example.org/1\n")
    warcs.write(incoming / "b.json", b'[{"text": "Second.", "url": "http://example.org/2"}]')
    datasets.Dataset.from_dict({"text": ["Third."], "url": ["http://example.org/3"]}).save_to_disk(incoming / "c")
    run(tmp_path, source="text", text={"paths": ["a.csv", "b.json", "c/*.arrow"]})
    assert texts(tmp_path) == {f"http://example.org/{n}": f"{name}." for n, name in
                               ((1, "First"), (2, "Second"), (3, "Third"))}  # fmt: skip
    warcs.write(incoming / "a.csv", b"title,id\nx,1\n")
    with pytest.raises(HeadwaterError, match=r"a\.csv: no column 'text'.*it has id, title"):
        run(tmp_path, source="text")
    warcs.write(incoming / "b.json", b"{broken")
    with pytest.raises(HeadwaterError, match=r"b\.json: ") as caught:
        run(tmp_path, source="text", text={"paths": ["b.json"]})
    assert "\n" not in str(caught.value)
    del caught
    gc.collect()  # while the warning is expected
