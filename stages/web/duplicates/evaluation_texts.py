"""The texts of evaluation sets, out of the files a user has: plain text, CSV, CoNLL, JSON lines, Parquet."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from stages.core import arrow
from stages.core.errors import HeadwaterError
from stages.core.params import nearest

SUFFIXES = (".conll", ".csv", ".jsonl", ".parquet", ".tsv", ".txt")

_LONGEST = 64 << 20  # characters of a cell of CSV


def files(folder: Path) -> list[Path]:
    """The files below ``folder`` that hold texts, sorted by path; hidden ones are left out."""
    found = (path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def named(folder: Path, names: Sequence[str]) -> list[Path]:
    """Those files of a folder.

    Raises:
        HeadwaterError: there is no such file (the nearest is named), or it is of no kind that is read.
    """
    found = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()} if names else {}
    for name in names:
        if name not in found:
            raise HeadwaterError(f"{folder} holds no {name} (decontaminate.tested){nearest(name, found)}")
        if found[name].suffix not in SUFFIXES:
            raise HeadwaterError(f"{found[name]} (decontaminate.tested): texts are read from {', '.join(SUFFIXES)}")
    return [found[name] for name in names]


def read(path: Path) -> Iterator[str]:
    """Every text in ``path``: the whole of a text file, every sentence of CoNLL, every string in every row of the
    others, where a list of words, as of tokens with tags, is one.

    Raises:
        HeadwaterError: the file is not what its suffix says; names the line.
    """
    try:
        if path.suffix == ".txt":
            yield path.read_text("utf-8")
        elif path.suffix == ".jsonl":
            yield from _json_lines(path)
        elif path.suffix in (".csv", ".tsv"):
            yield from _cells(path)
        elif path.suffix == ".conll":
            yield from _sentences(path)
        else:
            with arrow.undamaged(path, "not a Parquet file, or a damaged one"), pq.ParquetFile(path) as table:
                for batch in table.iter_batches(1024):
                    yield from _strings(batch.to_pylist())
    except UnicodeDecodeError as error:
        raise HeadwaterError(f"{path}: not UTF-8 at byte {error.start}") from None


def _json_lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield from _strings(json.loads(line))
                except json.JSONDecodeError as error:
                    raise HeadwaterError(f"{path}: line {number} is not JSON: {error.msg}") from None


def _cells(path: Path) -> Iterator[str]:
    csv.field_size_limit(_LONGEST)
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
        try:
            next(table, None)  # names of the columns
            for cells in table:
                yield from filter(None, cells)
        except csv.Error as error:
            raise HeadwaterError(f"{path}: line {table.line_num} is not CSV: {error}") from None


def _sentences(path: Path) -> Iterator[str]:
    words: list[str] = []
    with path.open(encoding="utf-8-sig") as file:
        for line in [*file, ""]:
            if line.strip():
                words.append(line.split()[0])
            elif words:
                yield " ".join(words)
                words = []


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif (
        isinstance(value, list)
        and len(value) > 1
        and all(isinstance(one, str) and one.split() == [one] for one in value)
    ):
        yield " ".join(value)
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
