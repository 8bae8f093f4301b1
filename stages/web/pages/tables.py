"""Where the cells of tables stand: columns, as spans of columns and rows lay them out (HTML standard, 4.9.12)."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from stages.web.pages.flat_tree import FlatTree
from stages.web.pages.tags import NAMES, TAG

Array = np.ndarray[Any, Any]

_MAX_COLUMNS = 100  # a table with more in a row is not laid out
_SPAN = re.compile(r'\b(col|row)span="\s*(\d{1,5})')
_IS_SECTION = np.array([name in ("thead", "tbody", "tfoot") for name in NAMES])
_IS_CELL = np.array([name in ("td", "th") for name in NAMES])


class Tables:
    """The columns of the tables of some pages, each looked at when it is first asked for.

    Args:
        tree: The pages.
        filled: Elements that are cells with text; a column in which no row has any does not count.
    """

    def __init__(self, tree: FlatTree, filled: Iterable[int]) -> None:
        self._tree = tree
        tags = tree.tags[tree.start]
        rows, cells = np.flatnonzero(tags == TAG["tr"]), np.flatnonzero(_IS_CELL[tags])
        around = tree.parent[rows]
        around = np.where(_IS_SECTION[tags[around]], tree.parent[around], around)
        self._table = dict(zip(rows.tolist(), around.tolist(), strict=True))
        self._rows, self._cells = _Children(around, rows), _Children(tree.parent[cells], cells)
        self._filled = frozenset(filled)
        self._known: dict[int, tuple[dict[int, int], int]] = {}

    def table(self, row: int) -> int:
        """The table that a row is of."""
        return self._table[row]

    def column(self, row: int, cell: int) -> int:
        """The column of a filled cell of a row, from 0; -1 where the table is not laid out."""
        return self._columns(row)[0].get(cell, -1)

    def is_all(self, row: int, cell: int) -> bool:
        """Whether a cell is as wide as its table."""
        _, width = self._columns(row)
        return self._span(cell)["col"] >= width

    def _columns(self, row: int) -> tuple[dict[int, int], int]:
        """The columns of the filled cells of the table that a row is of, and how many columns that has."""
        table = self._table[row]
        if table not in self._known:
            placed, width = self._laid_out(table)
            filled = {cell: column for cell, column in placed.items() if cell in self._filled}
            ranks = {column: rank for rank, column in enumerate(sorted(set(filled.values())))}
            self._known[table] = {cell: ranks[column] for cell, column in filled.items()}, width
        return self._known[table]

    def _laid_out(self, table: int) -> tuple[dict[int, int], int]:
        placed: dict[int, int] = {}
        below: dict[int, int] = {}  # rows that a cell from above still takes, by column
        width = 0
        for row in self._rows.of(table):
            taken, below = below, {column: rows - 1 for column, rows in below.items() if rows > 1}
            column = 0
            for cell in self._cells.of(row):
                while column in taken:
                    column += 1
                span = self._span(cell)
                if column + span["col"] > _MAX_COLUMNS:
                    return {}, 0
                placed[cell] = column
                if span["row"] > 1:
                    below |= dict.fromkeys(range(column, column + span["col"]), span["row"] - 1)
                column += span["col"]
            width = max(width, column)
        return placed, width

    def _span(self, cell: int) -> dict[str, int]:
        attributes = self._tree.attributes(int(self._tree.start[cell]))
        span = {"col": 1, "row": 1}
        if "span=" in attributes:
            span |= {kind: max(1, int(count)) for kind, count in _SPAN.findall(attributes)}
        return span


class _Children:
    """Elements by the one that they belong to."""

    def __init__(self, parents: Array, elements: Array) -> None:
        order = np.argsort(parents, kind="stable")
        self._parents, self._elements = parents[order], elements[order]

    def of(self, parent: int) -> list[int]:
        """Those of ``parent``, in order."""
        first, last = np.searchsorted(self._parents, [parent, parent + 1]).tolist()
        found: list[int] = self._elements[first:last].tolist()
        return found
