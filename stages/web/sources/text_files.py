"""Rows of files of texts: plain text, JSON lines, Parquet, and whatever else `datasets` reads.

Files are cut into pieces that can be read on their own: bytes of JSON lines, row groups of Parquet, else all of it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import fsspec

from stages.core.errors import HeadwaterError
from stages.core.params import nearest
from stages.web.pages import charset

NAMES = re.compile(
    r"(?!README\.md\Z).*\.(txt|md|jsonl|ndjson|json|parquet|csv|tsv|arrow)(\.(gz|bz2|xz|zst))?",
    re.IGNORECASE | re.DOTALL,
)
"""Files that count as texts where a folder is named."""

MAX_BYTES = 64 << 20
"""Longest text file, and longest line of JSON; what is longer is dropped as too_large."""

_PLAIN = re.compile(r".*\.(txt|md)(\.(gz|bz2|xz|zst))?", re.IGNORECASE | re.DOTALL)
_LINES = re.compile(r".*\.(jsonl|ndjson)(\.(gz|bz2|xz|zst))?", re.IGNORECASE | re.DOTALL)
_BATCH = 256  # rows of Parquet in memory


@dataclass(frozen=True)
class Piece:
    """A stretch of a file."""

    path: Path
    start: int
    end: int
    """In bytes for JSON lines, in row groups for Parquet; 0 where the file is read whole."""
    size: int
    """About how much text it has, in bytes."""


Row = tuple[int, Mapping[str, Any] | str]
"""Where a row is in its file, and its columns, or why it has none: ``damaged``, ``too_large``."""


def pieces(path: Path, column: str, size: int) -> list[Piece]:
    """A file cut into pieces of about ``size`` bytes.

    Raises:
        HeadwaterError: it is a Parquet file that cannot be read, or has no ``column`` of text.
    """
    if _PLAIN.fullmatch(path.name):
        return [Piece(path, 0, 0, path.stat().st_size)]
    if path.suffix.lower() == ".parquet":
        return _row_groups(path, column, size)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _stretches(path, size)
    total = path.stat().st_size
    return [Piece(path, 0, 0, total)] if total else []


def _check_column(path: Path, column: str, columns: Mapping[str, Any]) -> None:
    """Raises a HeadwaterError that names the columns where ``column`` is not one of them."""
    if column not in columns:
        raise HeadwaterError(f"{path}: no column {column!r} (crawl.text.text_column){nearest(column, columns)}")


def rows(piece: Piece, column: str) -> Iterator[Row]:
    """The rows of a piece, in order; a plain text is one row whose ``column`` holds it.

    Raises:
        HeadwaterError: the file cannot be read, or its first row has no ``column``: where only others have none, they
            are rows without text.
    """
    try:
        for place, row in _rows(piece, column):
            if place == 0 and not isinstance(row, str):
                _check_column(piece.path, column, row)
            yield place, row
    except UnicodeDecodeError:
        raise HeadwaterError(
            f"{piece.path}: not in UTF-8; `iconv -f WINDOWS-1252 -t UTF-8` makes it so, if it is from a spreadsheet"
        ) from None
    except (OSError, EOFError, ValueError) as error:
        raise HeadwaterError(f"{piece.path}: could not be read: {' '.join(str(error).split())}") from None


def _rows(piece: Piece, column: str) -> Iterator[Row]:
    if _PLAIN.fullmatch(piece.path.name):
        return _text(piece.path, column)
    if _LINES.fullmatch(piece.path.name):
        return _json_lines(piece)
    return _parquet(piece) if piece.path.suffix.lower() == ".parquet" else _dataset(piece.path)


def _text(path: Path, column: str) -> Iterator[Row]:
    with fsspec.open(path, "rb", compression="infer") as file:
        data = file.read(MAX_BYTES + 1)
    yield 0, "too_large" if len(data) > MAX_BYTES else {column: charset.decode(data, "")}


def _json_lines(piece: Piece) -> Iterator[Row]:
    with fsspec.open(piece.path, "rb", compression="infer") as file:
        at = piece.start
        if at:
            file.seek(at)
        while (not piece.end or at < piece.end) and (line := file.readline(MAX_BYTES + 1)):
            if line.strip():  # a blank line is no row
                yield at, "too_large" if len(line) > MAX_BYTES else _json(line)
            at += len(line)
            while len(line) > MAX_BYTES and not line.endswith(b"\n"):
                line = file.readline(MAX_BYTES)
                at += len(line)


def _json(line: bytes) -> Mapping[str, Any] | str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return "damaged"
    return row if isinstance(row, dict) else "damaged"


def _stretches(path: Path, size: int) -> list[Piece]:
    found: list[Piece] = []
    total = path.stat().st_size
    with path.open("rb") as file:
        start = 0
        while start < total:
            end = _line_end(file, min(start + size, total))
            found.append(Piece(path, start, end, end - start))
            start = end
    return found


def _line_end(file: BinaryIO, at: int) -> int:
    """Where the line ends in which the byte before ``at`` lies."""
    file.seek(at - 1)
    while (block := file.readline(1 << 20)) and not block.endswith(b"\n"):
        pass
    return file.tell()


def _row_groups(path: Path, column: str, size: int) -> list[Piece]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check_column(path, column, dict.fromkeys(file.schema_arrow.names))
            kind = file.schema_arrow.field(column).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            sizes = [file.metadata.row_group(number).total_byte_size for number in range(file.num_row_groups)]
    except pa.ArrowInvalid as error:
        raise HeadwaterError(f"{path}: no Parquet file: {error}") from None
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise HeadwaterError(f"{path}: column {column!r} (crawl.text.text_column) holds {kind}, not text")
    found: list[Piece] = []
    start = gathered = 0
    for number, one in enumerate(sizes, 1):
        gathered += one
        if gathered >= size or number == len(sizes):
            found.append(Piece(path, start, number, gathered))
            start, gathered = number, 0
    return found


def _parquet(piece: Piece) -> Iterator[Row]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(piece.path) as file:
        at = sum(file.metadata.row_group(number).num_rows for number in range(piece.start))
        for batch in file.iter_batches(_BATCH, row_groups=list(range(piece.start, piece.end))):
            for row in batch.to_pylist():
                yield at, row
                at += 1


def _dataset(path: Path) -> Iterator[Row]:
    import datasets

    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what it says of an error is said once, here
    try:
        if path.suffix.lower() == ".arrow":  # also one of a folder that save_to_disk wrote, which load_dataset refuses
            yield from enumerate(datasets.Dataset.from_file(str(path)))
            return
        yield from enumerate(
            datasets.load_dataset(str(path.parent), data_files=[path.name], split="train", streaming=True)
        )
    except datasets.exceptions.DatasetsError as error:
        raise HeadwaterError(f"{path}: `datasets` cannot read it: {' '.join(str(error).split())}") from None
