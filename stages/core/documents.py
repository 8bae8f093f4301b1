"""Document shards: Parquet with one row per document, in input order; dropped documents beside, with their reason."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.core import arrow, shards
from stages.core.errors import HeadwaterError

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # 128-bit hash of URL, capture date and payload, 32 hex digits
        pa.field("url", pa.string(), nullable=False),
        pa.field("date", pa.string(), nullable=False),  # of capture, ISO 8601, UTC
        pa.field("source", pa.string(), nullable=False),  # file name of the WARC
        pa.field("offset", pa.int64(), nullable=False),  # of the record in that file, in bytes
        pa.field("language", pa.string(), nullable=False),  # ISO 639-1
        pa.field("language_score", pa.float32(), nullable=False),  # 0–1
        pa.field("title", pa.string(), nullable=False),  # that the page states, without its site's name, or ""
        pa.field("published", pa.string(), nullable=False),  # day that the page states, YYYY-MM-DD, or ""
        pa.field("text", pa.string(), nullable=False),
    ]
)

DROPPED = SCHEMA.append(pa.field("stage", pa.string(), nullable=False)).append(
    pa.field("reason", pa.string(), nullable=False)
)

_BATCH = 1024  # documents in memory at a time, fewer where they are long
_BATCH_CHARACTERS = 1 << 24
_TOGETHER = 64


class Writer:
    """Writes documents to one Parquet shard; use as a context manager.

    Args:
        path: The file to write.
        extra: Columns that the stage adds after those of ``SCHEMA``, or of it those of which it has more to say.
        dropped: Whether the shard is one of dropped documents, with ``stage`` and ``reason``.
    """

    def __init__(self, path: Path, extra: Sequence[pa.Field] = (), *, dropped: bool = False) -> None:
        self.schema = DROPPED if dropped else SCHEMA
        for field in extra:
            place = self.schema.get_field_index(field.name)
            self.schema = self.schema.append(field) if place < 0 else self.schema.set(place, field)
        self._writer = pq.ParquetWriter(path, self.schema, compression="zstd", compression_level=3)
        self._rows: list[Mapping[str, Any]] = []
        self._characters = 0
        self.count = 0

    def write(self, document: Mapping[str, Any], **changes: Any) -> None:
        """Add one document; ``changes`` replace or add columns."""
        self._rows.append({**document, **changes})
        self._characters += len(self._rows[-1]["text"])
        self.count += 1
        if len(self._rows) >= _BATCH or self._characters >= _BATCH_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(arrow.table(self._rows, self.schema))
            self._rows = []
            self._characters = 0

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()


def files(folder: Path) -> list[Path]:
    """The shards of a folder of documents, in order.

    Raises:
        HeadwaterError: there are none.
    """
    found = shards.files(folder, "*.parquet")
    if not found:
        raise HeadwaterError(f"{folder}: no documents here; `dvc repro` makes what a stage reads before it runs it")
    return found


def read(path: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The documents of one shard in order, a batch in memory at a time.

    Raises:
        HeadwaterError: the file is no Parquet.
    """
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH, columns=list(columns) if columns else None):
                yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise HeadwaterError(f"{path}: not a document shard: {error}") from None


def added(path: Path) -> list[pa.Field]:
    """The columns of a shard that stages added to those of ``SCHEMA``; a stage that adds none of its own keeps them."""
    return [field for field in pq.read_schema(path) if field.name not in SCHEMA.names]


def batches(documents: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Documents in order, some at a time for work that is cheaper on many: fewer where they are long."""
    batch: list[dict[str, Any]] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document["text"])
        if len(batch) == _TOGETHER or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    yield batch


def count(paths: Sequence[Path]) -> int:
    """Documents in the shards, from their footers."""
    return sum(pq.read_metadata(path).num_rows for path in paths)
