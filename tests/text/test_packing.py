"""Packing: nothing is lost, nothing is doubled, and rows are as full as they can be."""

import random
from collections.abc import Sequence

import pytest

from stages.text.packing import METHODS, Piece, best_fit, concatenate


def lengths(seed: int, width: int) -> list[int]:
    """Lengths as documents have them: many short, some of several rows, some of exactly one."""
    rng = random.Random(seed)
    return [rng.choice([1, 2, width - 1, width, width + 1, int(rng.lognormvariate(4, 1.2)) + 1]) for _ in range(400)]


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("width", [2, 3, 17, 64, 513])
def test_every_token_of_every_document_is_in_exactly_one_row(method: str, width: int) -> None:
    documents = lengths(width, width)
    rows = METHODS[method](documents, width)
    assert all(0 < sum(piece.length for piece in row) <= width for row in rows)
    pieces = sorted(piece for row in rows for piece in row)
    expected = 0
    for document, length in enumerate(documents):
        offset = 0
        for piece in [piece for piece in pieces if piece.document == document]:
            assert piece.offset == offset
            assert piece.length > 0
            offset += piece.length
            expected += 1
        assert offset == length
    assert expected == len(pieces)


def test_best_fit_cuts_only_what_is_longer_than_a_row() -> None:
    rows = best_fit([5, 12, 5, 10, 3], 10)
    assert rows == [
        [Piece(0, 0, 5), Piece(2, 0, 5)],
        [Piece(1, 0, 10)],
        [Piece(1, 10, 2), Piece(4, 0, 3)],
        [Piece(3, 0, 10)],
    ]


def test_best_fit_takes_the_row_with_the_least_room_that_holds_the_piece() -> None:
    assert best_fit([6, 7, 3, 4], 10) == [[Piece(0, 0, 6), Piece(3, 0, 4)], [Piece(1, 0, 7), Piece(2, 0, 3)]]


def slow_best_fit(documents: Sequence[int], width: int) -> int:
    """Rows that best-fit decreasing takes, as the paper words it: all rows are looked at for each piece."""
    rests = [length % width for length in documents if length % width]
    rows = sum(length // width for length in documents)
    rooms: list[int] = []
    for rest in sorted(rests, reverse=True):
        fitting = [room for room in rooms if room >= rest]
        if fitting:
            rooms.remove(min(fitting))
        rooms.append((min(fitting) if fitting else width) - rest)
    return rows + len(rooms)


@pytest.mark.parametrize("seed", range(5))
def test_best_fit_is_best_fit_decreasing(seed: int) -> None:
    documents = lengths(seed, 100)
    assert len(best_fit(documents, 100)) == slow_best_fit(documents, 100)


def test_concatenation_leaves_room_in_the_last_row_only() -> None:
    rows = concatenate(lengths(1, 50), 50)
    assert all(sum(piece.length for piece in row) == 50 for row in rows[:-1])
