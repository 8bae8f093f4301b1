"""Token shards: rows of token ids in memory-mapped arrays, and from every token back to its document.

A folder of token shards holds, for each shard, ``NNNNN.npy`` with rows of ``context + 1`` ids (a row predicts its own
tokens from the second on) and ``NNNNN.index.parquet`` with the ranges that documents take in it; ``pack.json`` says how
they were made and has the hash of each. A document is ``<s> tokens </s>``; what is in no range is padding.
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from stages.core import arrays, fingerprint
from stages.core.errors import HeadwaterError

Ids = npt.NDArray[np.integer[Any]]

DESCRIPTION = "pack.json"

INDEX = pa.schema(
    [
        pa.field("start", pa.int64(), nullable=False),  # first token of the range, counted through the shard's rows
        pa.field("end", pa.int64(), nullable=False),  # one past its last
        pa.field("id", pa.string(), nullable=False),  # of the document
        pa.field("offset", pa.int64(), nullable=False),  # of the range in the document, in tokens; 0 is its <s>
        pa.field("use", pa.int32(), nullable=False),  # of the document: 0 the first, more where a mix repeats it
    ]
)


class Span(NamedTuple):
    """A part of a document in a row: the row's tokens ``start`` to ``end`` are the document's from ``offset`` on."""

    id: str
    start: int
    end: int
    offset: int
    use: int = 0
    """Which use of the document: a mix can repeat it."""


def narrowest(vocab_size: int) -> np.dtype[Any]:
    """The narrowest unsigned type that holds every id of a vocabulary."""
    return np.min_scalar_type(vocab_size - 1)


def index_name(shard: str) -> str:
    """File name of the index that belongs to ``NNNNN.npy``."""
    return shard.removesuffix(".npy") + ".index.parquet"


def pieces(rows: Ids, *, begin: int, end: int) -> npt.NDArray[np.int64]:
    """A number for each token of some rows, (rows, tokens), which those of one piece of a document share.

    A piece begins with ``begin``, or behind the ``end`` of another where it is the rest of a longer document. Padding
    behind the last ``end`` is a piece of its own.
    """
    starts = rows == begin
    starts[..., 1:] |= rows[..., :-1] == end
    return np.cumsum(starts, axis=-1)


def write(shard: Path, index: Path, rows: Ids, spans: Sequence[Span]) -> None:
    """Write one shard: ``rows`` of shape (rows, context + 1), and its ``spans``, counted through all rows, in order."""
    arrays.save(shard, rows)
    columns = {name: [getattr(span, name) for span in spans] for name in INDEX.names}
    table = pa.table(columns, schema=INDEX)
    pq.write_table(table, index, compression="zstd")


def described(shard: Path, index: Path) -> dict[str, str]:
    """What ``pack.json`` says of the files of one shard: the name of the first, and the hash of both."""
    return {"file": shard.name, "hash": fingerprint.file_hash(shard), "index_hash": fingerprint.file_hash(index)}


class TokenShards:
    """A folder of token shards, memory-mapped: rows are numbered through all shards.

    Raises:
        HeadwaterError: the folder holds no token shards, or a shard is not what ``pack.json`` says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text("utf-8"))
        except (OSError, ValueError):
            raise HeadwaterError(f"{folder}: no token shards here ({DESCRIPTION} is missing or damaged)") from None
        self.context: int = self.description["context"]
        """Tokens that a row trains on; a row is one longer."""
        self.vocab_size: int = self.description["vocab_size"]
        self.pad_id: int = self.description["pad_id"]
        self.tokens: int = self.description["tokens"]
        """Tokens of documents, without padding."""
        self._arrays = [self._open(shard["file"], shard["rows"]) for shard in self.description["shards"]]
        self._first = np.cumsum([0, *(len(array) for array in self._arrays)])

    def __len__(self) -> int:
        """Rows in all shards."""
        return int(self._first[-1])

    def rows(self, indices: Sequence[int] | Ids) -> npt.NDArray[np.int64]:
        """The rows of those numbers, in that order: shape (len(indices), context + 1).

        Raises:
            HeadwaterError: a row holds an id outside the vocabulary.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        found = np.empty((len(wanted), self.context + 1), dtype=np.int64)
        shards = self._shards_of(wanted)
        for shard in np.unique(shards):
            here = shards == shard
            found[here] = self._arrays[shard][wanted[here] - self._first[shard]]
        if found.size and found.max() >= self.vocab_size:
            row = int(wanted[found.max(axis=1).argmax()])
            raise HeadwaterError(
                f"{self.folder}: row {row} holds token {found.max()}, beyond the vocabulary of {self.vocab_size}; "
                "the shards are damaged: remove the folder and run `dvc repro pack`"
            )
        return found

    def documents(self, row: int) -> list[Span]:
        """The documents whose tokens are in a row, in the row's order; what lies between them is padding."""
        (shard,) = self._shards_of(np.asarray([row]))
        width = self.context + 1
        first = (row - int(self._first[shard])) * width
        starts, ends, offsets, uses, ids = self._index(int(shard))
        begin, stop = np.searchsorted(ends, first, "right"), np.searchsorted(starts, first + width, "left")
        spans = []
        for entry in range(int(begin), int(stop)):
            start = max(int(starts[entry]), first)
            end = min(int(ends[entry]), first + width)
            offset = int(offsets[entry]) + start - int(starts[entry])
            spans.append(Span(ids[entry].as_py(), start - first, end - first, offset, int(uses[entry])))
        return spans

    def _shards_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        if rows.size and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"{self.folder} has rows 0 to {len(self) - 1}")
        return np.searchsorted(self._first, rows, side="right") - 1

    def _open(self, name: str, rows: int) -> Ids:
        path = self.folder / name
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise HeadwaterError(f"{path}: not a token shard: {error}") from None
        expected = ((rows, self.context + 1), narrowest(self.vocab_size))
        if (array.shape, array.dtype) != expected:
            raise HeadwaterError(
                f"{path}: holds {array.dtype} of shape {array.shape}, {DESCRIPTION} says {expected[1]} of "
                f"{expected[0]}; remove the folder and run `dvc repro pack`"
            )
        return array

    @functools.lru_cache(maxsize=8)  # noqa: B019 - a reader lives as long as its process
    def _index(self, shard: int) -> tuple[Ids, Ids, Ids, Ids, Any]:
        name = self.description["shards"][shard]["file"]
        table = pq.read_table(self.folder / index_name(name))
        starts, ends, offsets, uses = (table.column(column).to_numpy() for column in ("start", "end", "offset", "use"))
        return starts, ends, offsets, uses, table.column("id").combine_chunks()
