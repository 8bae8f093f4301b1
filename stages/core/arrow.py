"""Arrow tables from Python values and from Parquet, the same as pyarrow's own, without pandas.

Wherever pandas is installed, pyarrow imports it before it takes a list, to see whether the list is one of pandas'
types, and before it reads a table, for what it calls datasets: 0.3 s of processor time and 40 MB in each process.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from stages.core.errors import HeadwaterError

_OFFSETS: dict[pa.DataType, type[np.signedinteger[Any]]] = {pa.string(): np.int32, pa.large_string(): np.int64}
_NUMBERS: dict[pa.DataType, type[np.number[Any]]] = {
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.uint64(): np.uint64,
    pa.float32(): np.float32,
    pa.float64(): np.float64,
}


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The columns of a Parquet file, all by default."""
    with pq.ParquetFile(path) as file:
        return file.read(list(columns) if columns else None)


@contextmanager
def undamaged(path: Path, what: str) -> Iterator[None]:
    """While a Parquet file is read that somebody brought.

    Raises:
        HeadwaterError: it is none, or is damaged; names it, and says ``what`` it is therefore.
    """
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # said by the system, such as permission denied
            raise
        raise HeadwaterError(f"{path}: {what}: {' '.join(str(error).split())}") from None


def table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table; what a row has none of is null."""
    columns = [column([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def numbers(found: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of numbers of which none is null."""
    return np.concatenate([np.zeros(0, _NUMBERS[found.type]), *(np.from_dlpack(chunk) for chunk in found.chunks)])


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Values, None for null, as an array of strings or numbers; of other kinds by pyarrow.

    Raises:
        OverflowError: the strings come to more than their kind can hold.
    """
    missing = np.array([value is None for value in values], np.bool_)
    validity = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    if kind in _NUMBERS:
        numbers = np.array([0 if value is None else value for value in values], _NUMBERS[kind])
        return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(numbers)])
    if kind in _OFFSETS:
        encoded = [b"" if value is None else value.encode() for value in values]
        ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        if ends[-1] > np.iinfo(_OFFSETS[kind]).max:
            raise OverflowError(f"{ends[-1]:,} bytes in one column of {kind}")
        offsets, text = pa.py_buffer(ends.astype(_OFFSETS[kind])), pa.py_buffer(b"".join(encoded))
        return pa.Array.from_buffers(kind, len(values), [validity, offsets, text])
    return pa.array(values, kind)
