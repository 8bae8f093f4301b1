"""Rows that a user brings: files of JSON lines, CSV, Parquet, CoNLL, and whatever else `datasets` reads.

A row is checked where it is used; every error names file, row and column.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from stages.core import arrow
from stages.core.errors import HeadwaterError
from stages.core.params import nearest, params

SUFFIXES = (".arrow", ".conll", ".csv", ".json", ".jsonl", ".parquet", ".tsv")
"""Of files that are read; others are passed over."""

_Numbered = tuple[int, Mapping[str, Any]]
"""A row's number, from 1 on: of JSON lines, that of the line."""

_BATCH = 256  # rows of Parquet in memory
_LONGEST = 64 << 20  # characters of a cell of CSV


@params
class Columns:
    """Names of columns, or of keys in JSON; `a.0.b` is the key b of the first one in the list a."""

    messages: str
    """Of chat: messages with `role` and `content`."""
    prompt: tuple[str, ...]
    """Of completion: what is given; of several columns, those that are not empty, a line after the other. Of
    preference: a question, or messages of which the user has the last."""
    completion: str
    """Of completion: what is to be learned."""
    chosen: str
    """Of preference: the answer that was preferred."""
    rejected: str
    """Of preference: the other one."""
    text: str
    """Of classify and score: what is read."""
    label: str
    """Of classify, its class; of score, its number."""
    tokens: str
    """Of tag: a list of words; in CoNLL files the first column."""
    tags: str
    """Of tag: a list with the tag of each; in CoNLL files the last column."""


class Row(NamedTuple):
    """A row and where it is from."""

    source: str
    """File name and number; rows are drawn by it."""
    where: str
    """The same for errors, with the folder."""
    values: Mapping[str, Any]


def readable(folder: Path) -> list[Path]:
    """The files of a folder that hold rows, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def files(folder: Path, tested: str) -> tuple[list[Path], list[Path]]:
    """The files of a folder that hold rows to learn from, by name, and the one, if any, that holds those ``tested``.

    Raises:
        HeadwaterError: there are none to learn from, or the one that is named is not there.
    """
    found = readable(folder)
    held = [path for path in found if path.name == tested]
    if tested and not held:
        raise HeadwaterError(
            f"{folder} holds no {tested} (finetune.rows.test.file){nearest(tested, (p.name for p in found))}"
        )
    rest = [path for path in found if path.name != tested]
    if not rest:
        raise HeadwaterError(f"{folder} holds nothing to learn from: put files there that end in {', '.join(SUFFIXES)}")
    return rest, held


def read(paths: Sequence[Path], columns: Columns) -> Iterator[Row]:
    """The rows of some files, in order; ``columns`` names those of CoNLL files, which have no names.

    Raises:
        HeadwaterError: a file is not what its name says; names it, and the row.
    """
    for path in paths:
        kind = path.suffix.lower()
        try:
            for number, values in _conll(path, columns) if kind == ".conll" else _READERS[kind](path):
                yield Row(f"{path.name}, row {number}", f"{path}: row {number}", values)
        except UnicodeDecodeError as error:
            raise HeadwaterError(f"{path}: line {_undecodable(path)}: not UTF-8: {error.reason}") from None


def _undecodable(path: Path) -> int:
    """The first line of a file that is not UTF-8; an error of reading says how far into a part of it that was."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def get(row: Row, column: str) -> Any:
    """What a row holds in a column.

    Raises:
        HeadwaterError: it has no such column, or nothing in it.
    """
    value: Any = row.values
    if column in row.values:
        value = row.values[column]
    else:
        for key in column.split("."):
            if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            elif isinstance(value, Mapping) and key in value:
                value = value[key]
            else:
                known = value if isinstance(value, Mapping) else ()
                raise HeadwaterError(f"{row.where}: has no column {column!r}{nearest(key, known)}")
    if value is None:
        raise HeadwaterError(f"{row.where}: column {column!r} is empty")
    return value


def text(row: Row, column: str) -> str:
    """The text that a row holds in a column.

    Raises:
        HeadwaterError: it is none, or is empty.
    """
    value = get(row, column)
    if not isinstance(value, str):
        raise HeadwaterError(f"{row.where}: column {column!r} is not text: {json.dumps(value, default=str)[:40]}")
    if not value.strip():
        raise HeadwaterError(f"{row.where}: column {column!r} is empty")
    return whole(value, row.where)


def whole(value: str, where: str) -> str:
    """The text, if it can be written.

    Raises:
        HeadwaterError: it holds half of a character of JSON, which escapes in two what is beyond U+FFFF.
    """
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise HeadwaterError(f"{where}: holds half of a surrogate pair, which is no character")
    return value


def _json_lines(path: Path) -> Iterator[_Numbered]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, _object(line, f"{path}: row {number}")


def _object(line: bytes, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line.decode("utf-8-sig").rstrip())
    except UnicodeDecodeError as error:
        raise HeadwaterError(f"{where}: not UTF-8: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise HeadwaterError(f"{where}: not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise HeadwaterError(f"{where}: nested too deep") from None
    if not isinstance(row, dict):
        raise HeadwaterError(f"{where}: needs an object with keys, as {{…}}")
    return row


def _csv(path: Path) -> Iterator[_Numbered]:
    csv.field_size_limit(_LONGEST)
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
        number = 0
        try:
            names = next(table, [])
            _check_names(path, names)
            for number, cells in enumerate(table, start=1):
                if cells:
                    if len(cells) != len(names):
                        counts = f"{len(cells)} cell{'s' * (len(cells) != 1)} for {len(names)} columns"
                        raise HeadwaterError(f"{path}: row {number}: has {counts} ({', '.join(names)[:80]})")
                    yield number, dict(zip(names, cells, strict=True))
        except csv.Error as error:
            raise HeadwaterError(f"{path}: row {number + 1}: not CSV: {error}") from None


def _check_names(path: Path, names: Sequence[str]) -> None:
    if twice := sorted(name for name in set(names) if name and names.count(name) > 1):
        raise HeadwaterError(f"{path}: names column {twice[0][:40]!a} twice")


def _parquet(path: Path) -> Iterator[_Numbered]:
    with arrow.undamaged(path, "no Parquet file, or a damaged one"), pq.ParquetFile(path) as file:
        _check_names(path, file.schema_arrow.names)
        rows = (row for batch in file.iter_batches(_BATCH) for row in batch.to_pylist())
        yield from enumerate(rows, start=1)


def _conll(path: Path, columns: Columns) -> Iterator[_Numbered]:
    """Sentences of CoNLL: a word and its tag on each line, first and last, and an empty line between sentences."""
    words: list[str] = []
    tags: list[str] = []
    sentences = 0
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate([*file, "\n"], start=1):
            cells = line.split()
            if not cells or cells[0] == "-DOCSTART-":
                if words:
                    sentences += 1
                    yield sentences, {columns.tokens: words, columns.tags: tags}
                words, tags = [], []
            elif len(cells) < 2:
                raise HeadwaterError(f"{path}: line {number}: a word without its tag: {line.strip()[:40]!a}")
            else:
                words.append(cells[0])
                tags.append(cells[-1])


def _dataset(path: Path) -> Iterator[_Numbered]:
    import datasets

    try:
        if path.suffix.lower() == ".arrow":  # also one of a folder that save_to_disk wrote, which load_dataset refuses
            yield from enumerate(datasets.Dataset.from_file(str(path)), start=1)
            return
        rows = datasets.load_dataset(str(path.parent), data_files=[path.name], split="train", streaming=True)
        yield from enumerate(rows, start=1)
    except (datasets.exceptions.DatasetsError, pa.ArrowInvalid, ValueError) as error:
        raise HeadwaterError(f"{path}: `datasets` cannot read it: {' '.join(str(error).split())}") from None


_READERS = {
    ".arrow": _dataset,
    ".csv": _csv,
    ".json": _dataset,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
    ".tsv": _csv,
}
