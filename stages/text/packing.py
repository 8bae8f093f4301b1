"""Packing: which part of which document stands where in rows of equal width."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Piece(NamedTuple):
    """Part of a document: ``length`` tokens from ``offset`` on."""

    document: int
    offset: int
    length: int


def best_fit(lengths: Sequence[int], width: int) -> list[list[Piece]]:
    """Rows of pieces, no token left out, no document cut that fits a row: best-fit decreasing (arXiv 2404.10830, §3).

    A document longer than a row is cut into full rows and a rest. Rests and short documents, longest first, each go to
    the row with the least room that holds them. Rows, and the pieces in a row, are in the order of the documents.

    Args:
        lengths: Tokens of each document.
        width: Tokens of a row.
    """
    rows: list[list[Piece]] = []
    rests: list[Piece] = []
    for document, length in enumerate(lengths):
        for piece in _cut(document, length, width):
            if piece.length == width:
                rows.append([piece])
            else:
                rests.append(piece)
    with_room: list[list[int]] = [[] for _ in range(width)]  # numbers of the rows that have that much room left
    rooms = 0  # bit n: with_room[n] is not empty
    for piece in sorted(rests, key=lambda piece: (-piece.length, piece)):
        fitting = rooms >> piece.length
        if fitting:
            room = piece.length + (fitting & -fitting).bit_length() - 1
            row = with_room[room].pop()
            if not with_room[room]:
                rooms ^= 1 << room
            rows[row].append(piece)
        else:
            room, row = width, len(rows)
            rows.append([piece])
        with_room[room - piece.length].append(row)
        rooms |= 1 << (room - piece.length)
    return sorted(sorted(row) for row in rows)


def concatenate(lengths: Sequence[int], width: int) -> list[list[Piece]]:
    """Rows of pieces, the documents one after the other, cut wherever a row ends; only the last row has room left."""
    rows: list[list[Piece]] = []
    room = 0
    for document, length in enumerate(lengths):
        offset = 0
        while offset < length:
            if not room:
                rows.append([])
                room = width
            taken = min(room, length - offset)
            rows[-1].append(Piece(document, offset, taken))
            offset += taken
            room -= taken
    return rows


def _cut(document: int, length: int, width: int) -> Iterator[Piece]:
    for offset in range(0, length, width):
        yield Piece(document, offset, min(width, length - offset))


METHODS = {"best_fit": best_fit, "concatenate": concatenate}
