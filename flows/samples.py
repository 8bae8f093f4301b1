"""A sample of what a stage wrote, for the Prefect UI: documents, with why they were dropped, or texts of a model."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.core.untrusted import shorten, visible

_FEW = 3  # of each output
_LENGTH = 120  # characters of a text: cells of the UI's tables are one line
_WRITTEN = "samples.jsonl"  # texts of a model, in the folder of an evaluation


def of(outs: Iterable[Path]) -> Iterator[dict[str, str]]:
    """A row for each document shown: the output it is of, its address, the reason for a drop, and its text.

    Args:
        outs: Outputs of a stage; one that has no documents is passed over.
    """
    for out in outs:
        for row in itertools.islice(_rows(out), _FEW):
            prompt = f"{row['prompt']} → " if row.get("prompt") else ""
            yield {
                "of": out.as_posix(),
                "reason": row.get("reason") or "",
                "text": visible(shorten(prompt, _LENGTH) + shorten(row["text"], _LENGTH)),
                "url": visible(shorten(row.get("url") or "", _LENGTH)),
            }


def _rows(out: Path) -> Iterator[Mapping[str, Any]]:
    if (out / _WRITTEN).is_file():
        with (out / _WRITTEN).open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)
    elif out.is_dir() and (shards := sorted(out.glob("*.parquet"))):
        from pyarrow import parquet  # takes a third of a second, which a graph without documents does not wait for

        for shard in shards:
            with parquet.ParquetFile(shard) as file:
                columns = [name for name in ("url", "reason", "text") if name in file.schema_arrow.names]
                if "text" not in columns:
                    return
                for batch in file.iter_batches(_FEW, columns=columns):
                    yield from batch.to_pylist()
