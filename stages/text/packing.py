"""Packing: which part of which document stands where in rows of equal width."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.integer[Any]]


class Packed(NamedTuple):
    """Pieces of documents in rows, in order: each array has an entry for each piece."""

    row: Numbers
    start: Numbers
    """Where in the row the piece begins, in tokens."""
    document: Numbers
    offset: Numbers
    """Where in the document the piece begins, in tokens."""
    length: Numbers

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.row[-1]) + 1 if len(self.row) else 0


def best_fit(lengths: Sequence[int] | Numbers, width: int) -> Packed:
    """Rows of pieces, no token left out, no document cut that fits a row: best-fit decreasing (arXiv 2404.10830, §3).

    A document longer than a row is cut into full rows and a rest. Rests and short documents, longest first, each go to
    the row with the least room that holds them. Rows, and the pieces in a row, are in the order of the documents.

    Args:
        lengths: Tokens of each document.
        width: Tokens of a row.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    full, rest = np.divmod(sizes, width)
    whole = np.repeat(np.arange(len(sizes)), full)
    nth = np.arange(len(whole)) - np.repeat(np.cumsum(full) - full, full)
    resting = np.flatnonzero(rest)
    longest_first = resting[np.argsort(-rest[resting], kind="stable")]
    shared = _fit(rest[longest_first].tolist(), width)
    row = np.concatenate([np.arange(len(whole)), len(whole) + np.asarray(shared, dtype=np.int64)])
    document = np.concatenate([whole, longest_first])
    offset = np.concatenate([nth * width, full[longest_first] * width])
    length = np.concatenate([np.full(len(whole), width), rest[longest_first]])

    # Number the rows by the first piece in each.
    in_order = np.lexsort((offset, document))
    _, first = np.unique(row[in_order], return_index=True)
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    row = place[row]
    order = np.lexsort((offset, document, row))
    return _placed(row[order], document[order], offset[order], length[order])


def concatenate(lengths: Sequence[int] | Numbers, width: int) -> Packed:
    """Rows of pieces, the documents one after the other, cut wherever a row ends; only the last row has room left."""
    ends = np.cumsum(np.asarray(lengths, dtype=np.int64))
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.unique(np.concatenate([np.arange(0, total, width), ends[ends < total]]))
    document = np.searchsorted(ends, cuts, side="right")
    offset = cuts - np.concatenate([[0], ends])[document]
    return _placed(cuts // width, document, offset, np.diff(cuts, append=total))


METHODS = {"best_fit": best_fit, "concatenate": concatenate}


def _fit(lengths: Sequence[int], width: int) -> list[int]:
    """A row for each length, longest first: of those that hold it the one with the least room, else a new one."""
    with_room: list[list[int]] = [[] for _ in range(width)]  # rows that have that much room left
    rooms = 0  # bit n: with_room[n] is not empty
    rows: list[int] = []
    count = 0
    for length in lengths:
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = with_room[room].pop()
            if not with_room[room]:
                rooms ^= 1 << room
        else:
            room, row = width, count
            count += 1
        with_room[room - length].append(row)
        rooms |= 1 << (room - length)
        rows.append(row)
    return rows


def _placed(row: Numbers, document: Numbers, offset: Numbers, length: Numbers) -> Packed:
    """Pieces in order with where in its row each begins: behind those before it."""
    before = np.cumsum(length) - length
    _, first = np.unique(row, return_index=True)
    return Packed(row, before - before[first][row], document, offset, length)
