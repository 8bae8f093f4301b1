"""What is left in a build of pages that were taken down: documents that a list names or that are like one; tokens."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.core import arrow, shards, takedown
from stages.core.tokens import TokenShards, index_name


def documents(folder: Path, wanted: takedown.Takedown, likes: Mapping[str, float]) -> dict[str, str]:
    """Id to URL of the documents of a folder that are to be gone.

    Args:
        folder: Shards.
        wanted: What the list names.
        likes: Ids of documents that are like a page that was taken down.
    """
    found = {}
    for path in shards.files(folder):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["id", "url", *(["text"] if wanted.texts else [])]):
                for row in batch.to_pylist():
                    said = takedown.text_hash(row["text"]) if wanted.texts else ""
                    if row["id"] in likes or wanted.names(row["url"], row["id"]) or said in wanted.texts:
                        found[row["id"]] = row["url"]
    return found


def tokens(folder: Path, ids: set[str]) -> set[str]:
    """Which of some documents have tokens in a folder of packed ones."""
    held: set[str] = set()
    value_set = arrow.column(sorted(ids), pa.string())
    for shard in TokenShards(folder).description["shards"] if ids else []:
        column = arrow.read(folder / index_name(shard["file"]), ["id"]).column("id")
        held |= set(column.filter(pc.is_in(column, value_set=value_set)).to_pylist())
    return held
