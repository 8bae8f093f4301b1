import bz2
import gc
import gzip
import json
import lzma
import os
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from stages import extract
from stages.core import documents, params
from stages.core.errors import HeadwaterError
from stages.web.sources import captures, text_files
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


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_a_file_packed_in_pieces_is_read_to_its_end(profile: Path, tmp_path: Path, packed: Any) -> None:
    suffix = {"gzip": "gz", "bz2": "bz2", "lzma": "xz"}.get(packed.__module__, "zst")
    warcs.write(tmp_path / "incoming" / f"a.jsonl.{suffix}", packed(lines(rows(2))) + packed(lines(rows(3))))
    metrics, _, _ = run(tmp_path, source="text")
    assert metrics["out"] == 5


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
        ("a.jsonl", b"no JSON\n", r"no pages in \S+ that crawl\.source text reads \(dropped: damaged 1\): crawl\.text"),
        ("a.jsonl", '{"text": "x"}\n'.encode("utf-16"), "a.jsonl: in UTF-16; `iconv -f UTF-16 -t UTF-8`"),
        ("a.jsonl.zst", zstandard.compress(b'{"text": "x"}\n')[:-3], "a.jsonl.zst: could not be read: .* ended before"),
        ("a.jsonl.zst", zstandard.compress(b'{"text": "x"}\n') + b"garbage", "a.jsonl.zst: could not be read"),
        ("a.txt.xz", warcs.flip(lzma.compress(b"x" * 99), 40), "a.txt.xz: could not be read"),
        ("a.txt.gz", warcs.flip(gzip.compress(b"xyz" * 99, mtime=0), 12), "a.txt.gz: could not be read"),
        ("a.parquet", b"no Parquet", "a.parquet: no Parquet file"),
        ("a.jsonl.gz", b"not gzip", "a.jsonl.gz: could not be read"),
        ("a.txt", b" \n", r"no pages in \S+ that crawl\.source text reads \(dropped: no_text 1\): crawl\.text"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_line(
    profile: Path, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    warcs.write(tmp_path / "incoming" / name, content)
    with pytest.raises(HeadwaterError, match=message) as caught:
        run(tmp_path, source="text")
    assert "\n" not in str(caught.value)


def test_names_and_urls_that_are_no_text_or_too_long_are_replaced(profile: Path, tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    Path(os.fsdecode(bytes(incoming) + b"/a\xff.txt")).write_text("First.")
    broken = lines([{"text": "Second \ud800.", "url": "http://example.org/\ud800"}])
    long = lines([{"text": "Third.", "url": "http://example.org/" + "x" * 99_999}])
    warcs.write(incoming / "b.jsonl", broken + long)
    _, _, manifest = run(tmp_path, source="text")
    assert texts(tmp_path) == {
        "http://text.invalid/a%FF.txt/0": "First.",
        "http://example.org/?": "Second ?.",
        f"http://text.invalid/b.jsonl/{len(broken)}": "Third.",
    }
    assert os.fsencode(manifest["files"][0]["name"]) == b"a\xff.txt"


def test_a_line_of_any_length_is_one_row_and_its_neighbours_are_taken(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "MAX_LINE", 1000)
    # Parts of it would be rows of their own.
    long = b'{"text": "' + (b" " * 990 + b'{"text": "x"}').ljust(1001) * 20 + b'"}\n'
    warcs.write(tmp_path / "incoming" / "a.jsonl", lines(rows(2)) + long + lines(rows(2)))
    for shard_mb in (1, 0.002):
        metrics, _, _ = run(tmp_path, source="text", shard_mb=shard_mb)
        assert (metrics["in"], metrics["dropped"]) == (5, {"not_sampled": 0, "too_large": 1})


def test_only_the_columns_that_are_asked_for_are_read_and_few_rows_at_a_time(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = pa.array([2**62] * 40, pa.timestamp("us"))  # which Python has no value for
    said = [f"{number} " + "word " * 2000 for number in range(39)] + [None]
    table(tmp_path / "incoming" / "a.parquet", {"text": said, "date": far, "other": far}, row_group=25)
    monkeypatch.setattr(text_files, "_BATCH_BYTES", 20_000)
    metrics, _, _ = run(tmp_path, source="text")
    assert metrics["dropped"] == {"no_text": 1, "not_sampled": 0}
    assert list(texts(tmp_path).values()) == said[:-1]
    assert {record.date for record in records(tmp_path).values()} == {captures.UNKNOWN_DATE}


def test_a_text_that_a_parquet_holds_once_is_in_memory_few_times(profile: Path, tmp_path: Path) -> None:
    said = pa.DictionaryArray.from_arrays(pa.array([0] * 200), pa.array(["word " * 400_000]))
    table(tmp_path / "a.parquet", {"text": said})
    before = pa.total_allocated_bytes()
    count = 0
    for _, row in text_files.rows(text_files.Piece(tmp_path / "a.parquet", 0, 2, 0), "text"):
        count += 1
        assert not isinstance(row, str)
        assert len(row["text"]) == 2_000_000
        assert pa.total_allocated_bytes() - before < 100_000_000  # of 400
    assert count == 200


def test_a_parquet_without_the_column_is_told_what_it_has(profile: Path, tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    table(tmp_path / "incoming" / "a.parquet", {"body": ["x"], "number": [1]})
    with pytest.raises(HeadwaterError, match=r"no column 'text' \(crawl\.text\.text_column\); it has body, number"):
        run(tmp_path, source="text")
    with pytest.raises(HeadwaterError, match=r"column 'number'.* holds int64, not text"):
        run(tmp_path, source="text", text={"text_column": "number"})
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(twice, tmp_path / "incoming" / "b.parquet")
    with pytest.raises(HeadwaterError, match=r"b\.parquet: 2 columns are named 'text'; rename all but one"):
        run(tmp_path, source="text", text={"paths": ["b.parquet"]})
    (tmp_path / "incoming" / "b.parquet").unlink()
    run(tmp_path, source="text", text={"text_column": "body"})
    assert list(texts(tmp_path).values()) == ["x"]


def test_an_array_of_json_that_fills_the_memory_is_refused(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "_LARGEST_ARRAY", 1000)
    warcs.write(tmp_path / "incoming" / "a b.json", b"\n[" + b'{"text": "x"},' * 100 + b"{}]")
    with pytest.raises(HeadwaterError, match=r"jq -c '\.\[\]' 'a b\.json' > 'a b\.jsonl'"):
        run(tmp_path, source="text")


def test_tables_are_read_as_text(profile: Path, tmp_path: Path) -> None:
    table = 'text,url\r\n"One, ""two""\nthree",http://example.org/1\r\n\r\nNA,http://example.org/2\n007\na,b,c\n,x\n'
    warcs.write(tmp_path / "incoming" / "a.csv", b"\xef\xbb\xbf" + table.encode())
    warcs.write(tmp_path / "incoming" / "b.tsv.gz", gzip.compress("text\turl\nFünf\thttp://example.org/5".encode()))
    metrics, _, _ = run(tmp_path, source="text")
    assert list(texts(tmp_path).items()) == [
        ("http://example.org/1", 'One, "two"\nthree'),
        ("http://example.org/2", "NA"),
        ("http://text.invalid/a.csv/2", "007"),
        ("http://example.org/5", "Fünf"),
    ]
    assert metrics["dropped"] == {"damaged": 1, "no_text": 1, "not_sampled": 0}


def test_a_table_whose_fields_have_no_end_is_one_clear_line(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warcs.write(tmp_path / "incoming" / "a.csv", b'text\na\n"b\nc\n')
    with pytest.raises(HeadwaterError, match=r"a\.csv: behind row 1: a quotation mark is not closed"):
        run(tmp_path, source="text")
    monkeypatch.setattr(text_files, "MAX_BYTES", 1000)
    for data, message in ((b"c\n" * 1000, "field larger than"), (b"c" * 2000 + b'"\n', "a line of more than 1,000")):
        warcs.write(tmp_path / "incoming" / "a.csv", b'text\na\n"b' + data)
        with pytest.raises(HeadwaterError, match=rf"a\.csv: behind row 1: {message}"):
            run(tmp_path, source="text")
    warcs.write(tmp_path / "incoming" / "a.csv", "text\nGrüße\n".encode("latin-1"))
    with pytest.raises(HeadwaterError, match=r"a\.csv: not in UTF-8; `iconv"):
        run(tmp_path, source="text")
    warcs.write(tmp_path / "incoming" / "a.csv", b"title,id\nx,1,y\n")
    with pytest.raises(HeadwaterError, match=r"a\.csv: no column 'text'.*it has id, title"):
        run(tmp_path, source="text")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # `datasets` leaves files open
def test_other_files_are_read_as_datasets_reads_them(profile: Path, tmp_path: Path) -> None:
    import datasets

    incoming = tmp_path / "incoming"
    warcs.write(incoming / "b.json", b'[{"text": "Second.", "url": "http://example.org/2"}]')
    datasets.Dataset.from_dict({"text": ["Third."], "url": ["http://example.org/3"]}).save_to_disk(incoming / "c")
    run(tmp_path, source="text", text={"paths": ["b.json", "c/*.arrow"]})
    assert texts(tmp_path) == {f"http://example.org/{n}": f"{name}." for n, name in
                               ((2, "Second"), (3, "Third"))}  # fmt: skip
    warcs.write(incoming / "b.json", b"{broken")
    with pytest.raises(HeadwaterError, match=r"b\.json: ") as caught:
        run(tmp_path, source="text", text={"paths": ["b.json"]})
    assert "\n" not in str(caught.value)
    del caught
    gc.collect()  # while the warning is expected
