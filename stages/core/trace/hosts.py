"""What became of all pages of a host: counted, then each in a line, so that thousands of them are told in seconds."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from stages.core import shards
from stages.core.trace import pages, training, tuning
from stages.core.trace.lineage import Fact, Lineage

_TOLD = ("id", "url", "date", "source", "offset", "reason")


def told(lineage: Lineage, host: str) -> Iterator[Fact]:
    """Counts and models first, then a fact for each page, in order of capture; `trace id` tells all of one.

    Archives, documents and tokens are compared with dvc.lock as files; no page is read back by itself.

    Raises:
        HeadwaterError: there is no page of that host; names the nearest.
    """
    ids = pages.find(lineage, "host", host)
    found, read = _ends(lineage, ids)
    places = training.located(lineage, ids)
    packed = Counter({one: sum(rows[one].values()) for _, _, rows in places for one in ids if one in rows})
    ended = Counter(row["ended"] for row in found.values())
    counts = {"pages": len(ids), "ended": dict(ended.most_common()), "tokens": packed.total()}
    yield Fact("host", {"host": host, **counts})
    yield from training.exposure(lineage, places, ids)
    yield from tuning.exposure(lineage, ids)
    yield from lineage.disagreements(*read)
    for identity, row in found.items():
        yield Fact("page", {**row, "tokens": packed[identity]})


def _ends(lineage: Lineage, ids: Sequence[str]) -> tuple[dict[str, dict[str, Any]], list[Path]]:
    """Id to its page, with the folder or the reason it ended in, in the order of ``ids``; and the files that say so."""
    ends: dict[str, dict[str, Any]] = {identity: {} for identity in ids}
    read: dict[Path, None] = {}
    for stage, folder in lineage.documents:
        columns = [name for name in pq.read_schema(shards.files(folder)[0]).names if name in _TOLD]
        archives = set()
        for path, row in pages.rows(folder, ids, columns):
            read[path] = None
            archives.add(Path(row["source"]).name)
            row["ended"] = f"{stage.name}: {row.pop('reason')}" if "reason" in row else folder.as_posix()
            ends[row["id"]] = row
        found = (Path(of, name) for of in stage.inputs for name in sorted(archives))
        read |= dict.fromkeys(path for path in found if path.is_file())
    return ends, list(read)
