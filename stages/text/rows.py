"""Rows of tokens from encoded documents: each document as often as a mix says, and the way back from every token."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.core import tokens as token_shards
from stages.core.shards import Metrics
from stages.core.tokens import Span
from stages.text.packing import METHODS
from stages.text.tokenizers import PAD

DROPPED = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("reason", pa.string(), nullable=False)])


def arrange(layout: Sequence[Any], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Pack one shard: ``inputs`` are its documents' ids one after the other, their lengths, and how often to use each.

    First uses are packed apart from second ones, and so on: no row holds a document twice. Writes ``shard``, ``index``
    (see :mod:`stages.core.tokens`) and ``dropped``, the documents that are not used, of ``DROPPED``.

    Args:
        layout: Tokens of a row and the name of a packing method.
    """
    width, method = layout
    ids = np.load(inputs[0], allow_pickle=False)
    documents, uses = (pq.read_table(path) for path in inputs[1:])
    names, lengths, sizes = (documents.column(name).to_numpy() for name in ("id", "tokens", "bytes"))
    drawn, used = (uses.column(name).to_numpy() for name in ("drawn", "used"))
    starts = np.cumsum(lengths) - lengths
    rows, spans = [np.empty((0, width), ids.dtype)], []
    for use in range(int(used.max(initial=0))):
        chosen = np.flatnonzero(used > use)
        packed = METHODS[method](lengths[chosen], width)
        filled = np.full(packed.rows * width, PAD, dtype=ids.dtype)
        first = sum(map(len, rows)) * width
        document = chosen[packed.document]
        places = packed.row * width + packed.start, starts[document] + packed.offset, packed.length, packed.offset
        for name, to, begin, length, offset in zip(names[document], *(a.tolist() for a in places), strict=True):
            filled[to : to + length] = ids[begin : begin + length]
            spans.append(Span(name, first + to, first + to + length, offset, use))
        rows.append(filled.reshape(-1, width))
    whole = np.concatenate(rows)
    token_shards.write(outputs["shard"], outputs["index"], whole, spans)
    reasons = np.where(drawn == 0, "not_drawn", "host_cap")[used == 0]
    pq.write_table(
        pa.table({"id": names[used == 0], "reason": reasons}, schema=DROPPED), outputs["dropped"], compression="zstd"
    )
    count = int((lengths * used).sum())
    return {
        "in": len(names),
        "out": int((used > 0).sum()),
        "dropped": dict(Counter(reasons.tolist())),
        "repeated": int(np.maximum(used - 1, 0).sum()),
        "rows": len(whole),
        "tokens": count,
        "padding": whole.size - count,
        "bytes": int((sizes * used).sum()),
    }
