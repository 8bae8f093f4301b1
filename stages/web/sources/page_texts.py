"""What the pages of an archive say, as a list of texts to be taken down needs it: hashes of texts, and shingles."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.core import arrow, shards
from stages.core.takedown import text_hash
from stages.web import archived
from stages.web.duplicates.shingles import Hashes, WordHashes, shingles
from stages.web.likeness import NGRAM
from stages.web.records import warc

_TEXTS = pa.schema([("id", pa.string()), ("text_hash", pa.string()), ("shingles", pa.list_(pa.uint64()))])
_TOGETHER = 256


class _Bounds(NamedTuple):
    """As wide as any that `extract` is given."""

    max_bytes: int = 64 << 20
    max_nodes: int = 1_000_000
    max_depth: int = 512
    max_characters: int = 64 << 20
    min_expected_f1: float = 0.0
    opt_outs: tuple[str, ...] = ()


def sign(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Id, hash of the text and shingles of every page of an archive; a unit of work of the crawl."""
    words, count = WordHashes(), 0
    rows: list[dict[str, Any]] = []
    with pq.ParquetWriter(outputs["texts"], _TEXTS, compression="zstd", compression_level=1) as writer:
        for page in archived.documents(_Bounds(), inputs[0], warc.Loss()):
            count += 1
            if not page["reason"]:
                own = shingles(words.of(page["text"]), NGRAM)
                rows.append({"id": page["id"], "text_hash": text_hash(page["text"]), "shingles": own})
            if len(rows) == _TOGETHER:
                writer.write_table(pa.Table.from_pylist(rows, schema=_TEXTS))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, schema=_TEXTS))
    return {"in": count, "out": count}


def signed(path: Path, ids: Sequence[str]) -> Iterator[tuple[str, Hashes]]:
    """Id and shingles of those pages of a file of :func:`sign`."""
    table = arrow.read(path, ["id", "shingles"])
    table = table.filter(pc.is_in(table["id"], value_set=arrow.column(ids, pa.string())))
    for identity, own in zip(table["id"].to_pylist(), table["shingles"], strict=True):
        yield identity, own.values.to_numpy()
