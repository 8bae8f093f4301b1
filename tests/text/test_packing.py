"""Packing: nothing is lost, nothing is doubled, and rows are as full as they can be."""

import random
from collections.abc import Sequence

import pytest

from stages.text.packing import METHODS, Packed, best_fit, concatenate


def lengths(seed: int, width: int) -> list[int]:
    """Lengths as documents have them: many short, some of several rows, some of exactly one."""
    rng = random.Random(seed)
    return [rng.choice([1, 2, width - 1, width, width + 1, int(rng.lognormvariate(4, 1.2)) + 1]) for _ in range(400)]


def pieces(packed: Packed) -> list[list[tuple[int, int, int]]]:
    """Row by row, document, offset and length of each piece."""
    rows: list[list[tuple[int, int, int]]] = [[] for _ in range(packed.rows)]
    for row, start, *piece in zip(*(column.tolist() for column in packed), strict=True):
        assert start == sum(length for _, _, length in rows[row])
        rows[row].append((piece[0], piece[1], piece[2]))
    return rows


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("width", [2, 3, 17, 64, 513])
def test_every_token_of_every_document_is_in_exactly_one_row(method: str, width: int) -> None:
    documents = lengths(width, width)
    rows = pieces(METHODS[method](documents, width))
    assert all(0 < sum(length for _, _, length in row) <= width for row in rows)
    found = sorted(piece for row in rows for piece in row)
    expected = 0
    for document, length in enumerate(documents):
        at = 0
        for _, offset, taken in [piece for piece in found if piece[0] == document]:
            assert offset == at
            assert taken > 0
            at += taken
            expected += 1
        assert at == length
    assert expected == len(found)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_documents_without_a_token_are_in_no_row(method: str) -> None:
    assert pieces(METHODS[method]([], 10)) == pieces(METHODS[method]([0, 0], 10)) == []
    assert pieces(METHODS[method]([0, 10, 0, 0, 3, 0], 10)) == [[(1, 0, 10)], [(4, 0, 3)]]


def test_best_fit_cuts_only_what_is_longer_than_a_row() -> None:
    assert pieces(best_fit([5, 12, 5, 10, 3], 10)) == [
        [(0, 0, 5), (2, 0, 5)],
        [(1, 0, 10)],
        [(1, 10, 2), (4, 0, 3)],
        [(3, 0, 10)],
    ]


def test_best_fit_takes_the_row_with_the_least_room_that_holds_the_piece() -> None:
    assert pieces(best_fit([6, 7, 3, 4], 10)) == [[(0, 0, 6), (3, 0, 4)], [(1, 0, 7), (2, 0, 3)]]


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
    assert best_fit(documents, 100).rows == slow_best_fit(documents, 100)


def test_concatenation_leaves_room_in_the_last_row_only() -> None:
    rows = pieces(concatenate(lengths(1, 50), 50))
    assert all(sum(length for _, _, length in row) == 50 for row in rows[:-1])
