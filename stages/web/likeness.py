"""Pages that are taken down with those they are like: by the Jaccard similarity of their runs of five words.

It is that of near-duplicates (:mod:`stages.web.duplicates.shingles`), true and not estimated, on the text as `extract`
takes it out. What a named page says is gone with it; what is kept is the hashes of its runs, so that every later build
and every check can tell what is like it.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.core import arrow, documents, shards
from stages.web.duplicates.shingles import Hashes, WordHashes, jaccard, shingles

NGRAM = 5
"""Words of a run. No parameter: what an entry of the list means does not change with how duplicates are found."""

WITHDRAWN = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # of a document that is gone
        pa.field("of", pa.string(), nullable=False),  # id of the named page that it is like; "" for a named page
        pa.field("similarity", pa.float64(), nullable=False),  # to that page; of a named page, from where on others go
        pa.field("shingles", pa.list_(pa.uint64()), nullable=False),  # of a named page; of others none
    ]
)
"""Of the named pages whose likes are asked for, and of those likes."""

_TOGETHER = 256  # pages


class Target(NamedTuple):
    """A page whose likes are to go."""

    id: str
    similarity: float
    """At or above which another page is like it."""
    shingles: Hashes


def alike(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """The pages of a file of shingles (first input) that are like a withdrawn one (second), as JSON.

    The first is one of :mod:`stages.web.sources.page_texts`.
    """
    wanted = targets(inputs[1])
    found = []
    with pq.ParquetFile(inputs[0]) as file:
        for batch in file.iter_batches(_TOGETHER, columns=["id", "shingles"]):
            for identity, own in zip(batch["id"].to_pylist(), batch["shingles"], strict=True):
                if (like := _likest(own.values.to_numpy(), wanted)) is not None and identity != like[0]:
                    found.append([identity, *like])
        count = file.metadata.num_rows
    outputs["alike"].write_text(json.dumps(found), "utf-8")
    return {"in": count, "out": count}


def write(path: Path, named: Sequence[Target], likes: Sequence[Sequence[Any]]) -> None:
    """Write what was withdrawn, see :data:`WITHDRAWN`."""
    rows = [{"id": one.id, "of": "", "similarity": one.similarity, "shingles": one.shingles} for one in named]
    rows += [{"id": one, "of": of, "similarity": value, "shingles": []} for one, of, value in likes]
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.sort(key=lambda row: (row["of"], row["id"]))
    # Of a list, even an empty one, Arrow asks whether it is one of pandas', whose import takes .3 s.
    table = pa.Table.from_pylist(rows, schema=WITHDRAWN) if rows else pa.Table.from_batches([], WITHDRAWN)
    pq.write_table(table, path, compression="zstd")


def targets(path: Path) -> list[Target]:
    """The named pages of a file of :func:`write`."""
    table = arrow.read(path)
    table = table.filter(pc.equal(table["of"], ""))
    columns = (table[name].to_pylist() for name in ("id", "similarity"))
    return [
        Target(one, similarity, own.values.to_numpy())
        for one, similarity, own in zip(*columns, table["shingles"], strict=True)
    ]


def left(folder: Path, withdrawn: Path) -> dict[str, float]:
    """Ids of the documents of a folder that are like a withdrawn page, with their similarity."""
    wanted, words = targets(withdrawn), WordHashes()
    found = {}
    for path in shards.files(folder) if wanted else []:
        for document in documents.read(path, ["id", "text"]):
            if (like := _likest(shingles(words.of(document["text"]), NGRAM), wanted)) is not None:
                found[document["id"]] = like[1]
    return found


def _likest(own: Hashes, wanted: Sequence[Target]) -> tuple[str, float] | None:
    """Id of the page that is likest, and the similarity; None where none is like enough."""
    sizes = np.array([len(one.shingles) for one in wanted])
    # Of sets of which one has twice the members of the other, the similarity is at most a half.
    possible = np.minimum(sizes, len(own)) >= np.array([one.similarity for one in wanted]) * np.maximum(sizes, len(own))
    values = ((jaccard(own, wanted[at].shingles), wanted[at]) for at in np.flatnonzero(possible).tolist())
    found = [(value, one.id) for value, one in values if value >= one.similarity]
    return max(found)[::-1] if found else None
