"""The texts of evaluation sets, out of the files a user has: plain text, JSON lines, Parquet."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.core.errors import HeadwaterError

SUFFIXES = (".txt", ".jsonl", ".parquet")


def files(folder: Path) -> list[Path]:
    """The files below ``folder`` that hold texts, sorted by path; hidden ones are left out."""
    found = (path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def read(path: Path) -> Iterator[str]:
    """Every text in ``path``: the whole of a text file, every string in every row of the others.

    Raises:
        HeadwaterError: the file is not what its suffix says; names the line.
    """
    try:
        if path.suffix == ".txt":
            yield path.read_text("utf-8")
        elif path.suffix == ".jsonl":
            yield from _json_lines(path)
        else:
            with pq.ParquetFile(path) as table:
                for batch in table.iter_batches(1024):
                    yield from _strings(batch.to_pylist())
    except UnicodeDecodeError as error:
        raise HeadwaterError(f"{path}: not UTF-8 at byte {error.start}") from None
    except pa.ArrowInvalid as error:
        raise HeadwaterError(f"{path}: not a Parquet file: {error}") from None


def _json_lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield from _strings(json.loads(line))
                except json.JSONDecodeError as error:
                    raise HeadwaterError(f"{path}: line {number} is not JSON: {error.msg}") from None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
