"""Rows of files of texts: plain text, JSON lines, Parquet, CSV, and whatever else `datasets` reads.

Files are cut into pieces that can be read on their own: bytes of JSON lines, row groups of Parquet, else all of it.
"""

import bz2
import csv
import gzip
import io
import itertools
import json
import lzma
import re
import shlex
import sys
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from stages.core.errors import HeadwaterError
from stages.core.params import nearest
from stages.web.pages import charset

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

NAMES = re.compile(
    r"(?!README\.md\Z).*\.(txt|md|jsonl|ndjson|json|parquet|csv|tsv|arrow)(\.(gz|bz2|xz|zst))?",
    re.IGNORECASE | re.DOTALL,
)
"""Files that count as texts where a folder is named."""

MAX_BYTES = 64 << 20
"""Longest text file; what is longer is dropped as too_large."""

MAX_LINE = 24 << 20
"""Longest line of JSON, in bytes: 2 million characters, each written as an escape. (20 million objects took 2 GB.)"""

_PLAIN = re.compile(r".*\.(txt|md)(\.(gz|bz2|xz|zst))?", re.IGNORECASE | re.DOTALL)
_TABLE = re.compile(r".*\.(csv|tsv)(\.(gz|bz2|xz|zst))?", re.IGNORECASE | re.DOTALL)
_LINES = re.compile(r".*\.(jsonl|ndjson)(\.(gz|bz2|xz|zst))?", re.IGNORECASE | re.DOTALL)
_BATCH = (
    16  # rows of Parquet in memory: a text may stand once in a file and be named by each (256 of 20 MB took 5.3 GB),
)
_BATCH_BYTES = 32 << 20  # and about how much text
_PACKED: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": zstd.open}
_LARGEST_ARRAY = 128 << 20  # bytes; 500 MB of JSON took 3.5 GB
_END = "\0end of file\0"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_DAMAGED = (OSError, EOFError, ValueError, OverflowError, zlib.error, lzma.LZMAError, zstd.ZstdError)


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
    if total > _LARGEST_ARRAY and path.suffix.lower() == ".json" and _begins(path) == b"[":
        raise HeadwaterError(
            f"{path}: an array of more than {_LARGEST_ARRAY >> 20} MB, which is read into memory as one; make lines "
            f"of it: jq -c '.[]' {shlex.quote(path.name)} > {shlex.quote(path.with_suffix('.jsonl').name)}"
        )
    return [Piece(path, 0, 0, total)] if total else []


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100).lstrip()[:1]


def _check_column(path: Path, column: str, columns: Mapping[str, Any]) -> None:
    """Raises a HeadwaterError that names the columns where ``column`` is not one of them."""
    if column not in columns:
        raise HeadwaterError(f"{path}: no column {column!r} (crawl.text.text_column){nearest(column, columns)}")


def rows(piece: Piece, column: str, others: Collection[str] = ()) -> Iterator[Row]:
    """The rows of a piece, in order; a plain text is one row whose ``column`` holds it.

    Args:
        piece: Of a file.
        column: Which must be there.
        others: Columns that are read too where there are such; more may come.

    Raises:
        HeadwaterError: the file cannot be read, or its first row has no ``column``: where only others have none, they
            are rows without text.
    """
    try:
        for place, row in _rows(piece, column, others):
            if place == 0 and not isinstance(row, str):
                _check_column(piece.path, column, row)
            yield place, row
    except UnicodeDecodeError:
        raise HeadwaterError(
            f"{piece.path}: not in UTF-8; `iconv -f WINDOWS-1252 -t UTF-8` makes it so, if it is from a spreadsheet"
        ) from None
    except _DAMAGED as error:
        raise HeadwaterError(f"{piece.path}: could not be read: {' '.join(str(error).split())}") from None


def _rows(piece: Piece, column: str, others: Collection[str]) -> Iterator[Row]:
    if _PLAIN.fullmatch(piece.path.name):
        return _text(piece.path, column)
    if _LINES.fullmatch(piece.path.name):
        return _json_lines(piece)
    if _TABLE.fullmatch(piece.path.name):
        return _table(piece.path, column)
    if piece.path.suffix.lower() == ".parquet":
        return _parquet(piece, column, others)
    return _dataset(piece.path)


def _opened(path: Path) -> BinaryIO:
    """A file as it is, or unpacked; each of these says where one was cut off, and reads on behind a member's end."""
    unpack = _PACKED.get(path.suffix.lower())
    return cast(BinaryIO, unpack(path)) if unpack else path.open("rb")


def _text(path: Path, column: str) -> Iterator[Row]:
    with _opened(path) as file:
        data = file.read(MAX_BYTES + 1)
    yield 0, "too_large" if len(data) > MAX_BYTES else {column: charset.decode(data, "")}


def _json_lines(piece: Piece) -> Iterator[Row]:
    with _opened(piece.path) as file:
        at = piece.start
        if at:
            file.seek(at)
        while (not piece.end or at < piece.end) and (line := file.readline(MAX_LINE + 1)):
            if at == 0 and line.startswith(_UTF_16):
                raise HeadwaterError(f"{piece.path}: in UTF-16; `iconv -f UTF-16 -t UTF-8` makes UTF-8 of it")
            if line.strip():  # a blank line is no row
                yield at, "too_large" if len(line) > MAX_LINE else _json(line)
            at += len(line)
            whole = len(line) <= MAX_LINE
            while not whole and (rest := file.readline(1 << 20)):
                at += len(rest)
                whole = rest.endswith(b"\n")


def _table(path: Path, column: str) -> Iterator[Row]:
    """The rows below the names of the columns; one with more fields than there are names is damaged."""
    csv.field_size_limit(MAX_BYTES)
    with io.TextIOWrapper(_opened(path), "utf-8-sig", newline="") as file:
        # A last line that is none of the file's comes as a row of its own, unless a quotation is open.
        table = csv.reader(
            itertools.chain(_bounded(file), [_END]), delimiter="\t" if ".tsv" in path.name.lower() else ","
        )
        names: list[str] = []
        at = 0
        try:
            for row in table:
                if row == [_END]:
                    return
                if row and row[-1].endswith(_END):
                    raise csv.Error("a quotation mark is not closed")
                if names and row:  # a blank line is no row
                    yield at, dict(itertools.zip_longest(names, row)) if len(row) <= len(names) else "damaged"
                    at += 1
                elif row:
                    names = row
                    _check_column(path, column, dict.fromkeys(names))
        except csv.Error as error:
            raise HeadwaterError(f"{path}: behind row {at:,}: {error}") from None


def _bounded(file: TextIO) -> Iterator[str]:
    while line := file.readline(MAX_BYTES):
        if len(line) == MAX_BYTES:
            raise csv.Error(f"a line of more than {MAX_BYTES:,} characters")
        yield line


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
            names = file.schema_arrow.names
            _check_column(path, column, dict.fromkeys(names))
            if names.count(column) > 1:
                raise HeadwaterError(f"{path}: {names.count(column)} columns are named {column!r}; rename all but one")
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


def _parquet(piece: Piece, column: str, others: Collection[str]) -> Iterator[Row]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(piece.path) as file:
        names = file.schema_arrow.names
        read = [name for name in dict.fromkeys((column, *others)) if names.count(name) == 1]
        at = sum(file.metadata.row_group(number).num_rows for number in range(piece.start))
        for number in range(piece.start, piece.end):
            for batch in file.iter_batches(_together(file, number, read), row_groups=[number], columns=read):
                for row in range(batch.num_rows):
                    yield at, {name: _value(batch.column(name)[row]) for name in read}
                    at += 1


def _together(file: Any, group: int, read: Collection[str]) -> int:
    """How many rows of a row group are read at a time."""
    metadata = file.metadata.row_group(group)
    columns = (metadata.column(number) for number in range(metadata.num_columns))
    size = sum(one.total_uncompressed_size for one in columns if one.path_in_schema.partition(".")[0] in read)
    return max(1, min(_BATCH, _BATCH_BYTES * metadata.num_rows // max(size, 1)))


def _value(scalar: Any) -> Any:
    """What a scalar holds; nothing where Python has no such value, as of a date beyond the year 9999."""
    try:
        return scalar.as_py()
    except (OverflowError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise
        return None


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
