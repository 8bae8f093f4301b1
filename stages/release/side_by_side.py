"""Two texts beside each other, line by line, with the words that differ: a duplicate and what was kept for it."""

import difflib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stages.core.untrusted import shorten

_LINES = 400  # of a text are compared, and as many words of a line: difflib may take the cube of it
_ALIKE = 0.4  # lines with less in common are shown as two, not as one that was changed
_SAME = 60  # characters that agree are shown to either side of a difference
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")

Cell = list[tuple[str, bool]]
"""Pieces of a line, and whether the other line has them not."""


@dataclass(frozen=True)
class Row:
    """A line of each text; an empty cell where the other text has a line more."""

    kept: Cell
    copy: Cell
    same: int = 0
    """Lines that agree, where the row stands for them."""


@dataclass(frozen=True)
class Comparison:
    """Two texts."""

    rows: list[Row]
    more: int
    """Rows that are left out."""


def compare(kept: str, copy: str, rows: int, characters: int) -> Comparison:
    """What differs between two texts, with one line that agrees before and after.

    Args:
        kept: The text on the left.
        copy: That on the right.
        rows: Shown at most.
        characters: Of a line shown at most.
    """
    found = list(_rows(_lines(kept), _lines(copy), characters))
    return Comparison(found[:rows], max(0, len(found) - rows))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()][:_LINES]


def _rows(kept: Sequence[str], copy: Sequence[str], characters: int) -> Iterator[Row]:
    matcher = difflib.SequenceMatcher(None, kept, copy, autojunk=False)
    for what, start, end, at, until in matcher.get_opcodes():
        if what == "equal":
            yield from _agreeing(kept[start:end], first=start == 0, last=end == len(kept))
            continue
        for left, right in itertools.zip_longest(kept[start:end], copy[at:until], fillvalue=""):
            yield from _differing(left, right, characters)


def _agreeing(lines: Sequence[str], *, first: bool, last: bool) -> Iterator[Row]:
    """The lines next to a difference, and how many lie between."""
    before = [] if first else lines[:1]
    after = [] if last else lines[len(before) :][-1:]
    between = len(lines) - len(before) - len(after)
    told = [[(shorten(line, 2 * _SAME), False)] for line in (*before, *after)]
    yield from (Row(cell, cell) for cell in told[: len(before)])
    if between:
        yield Row([], [], same=between)
    yield from (Row(cell, cell) for cell in told[len(before) :])


def _differing(left: str, right: str, characters: int) -> Iterator[Row]:
    words, others = _WORDS.findall(left)[:_LINES], _WORDS.findall(right)[:_LINES]
    matcher = difflib.SequenceMatcher(None, words, others, autojunk=False)
    if not left or not right or matcher.ratio() < _ALIKE:
        yield Row(_whole(left, characters), _whole(right, characters))
        return
    kept: Cell = []
    copy: Cell = []
    for what, start, end, at, until in matcher.get_opcodes():
        for cell, piece in ((kept, "".join(words[start:end])), (copy, "".join(others[at:until]))):
            if piece:
                cell.append((piece, what != "equal"))
    yield Row(_cut(kept, characters), _cut(copy, characters))


def _whole(line: str, characters: int) -> Cell:
    return [(shorten(line, characters), True)] if line else []


def _cut(cell: Cell, characters: int) -> Cell:
    """A line whose long agreeing pieces are left out but for their ends, cut at ``characters``."""
    cut: Cell = []
    room = characters
    for index, (piece, differs) in enumerate(cell):
        if not differs and len(piece) > 2 * _SAME:
            head, tail = piece[:_SAME] if index else "", piece[-_SAME:] if index + 1 < len(cell) else ""
            piece = f"{head}…{tail}"
        if room <= 0:
            break
        cut.append((shorten(piece, room), differs))
        room -= len(piece)
    return cut
