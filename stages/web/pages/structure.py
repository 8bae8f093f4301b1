"""The chosen blocks of pages as Markdown-like text: headings, lists, rows of tables, code, lines of a paragraph."""

from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from stages.web.pages.blocks import Blocks
from stages.web.pages.flat_tree import NAMES, TAG, FlatTree
from stages.web.pages.markdown import Text

Array = np.ndarray[Any, Any]

_CODE = [TAG["pre"], TAG["listing"]]
_HEADINGS = [TAG[f"h{level}"] for level in range(1, 7)]
_PARTS = [["pre", "listing"], [f"h{level}" for level in range(1, 7)], ["li"], ["tr"], ["td", "th"]]
_ITEM = 2
_IS_PART = np.array([[name in names for name in NAMES] for names in _PARTS])
_MAX_ROW = 1000  # characters: a table with more in a row lays out the page


def written(blocks: Blocks, kept: Array) -> list[str]:
    """The text of the blocks that are kept of each page with text, in the order of the page."""
    writer = _Writer(blocks)
    (chosen,) = np.nonzero(kept)
    edges = np.searchsorted(chosen, [*blocks.pages.starts, blocks.pages.size]).tolist()
    members = chosen.tolist()
    return [writer.page(members[start:end]) for start, end in pairwise(edges)]


class _Writer:
    def __init__(self, blocks: Blocks) -> None:
        tree, home = blocks.tree, blocks.home
        self.text = Text()
        self._blocks = blocks
        self._tree = tree
        self._tags = tree.tags[tree.start]
        parts = [np.flatnonzero(kind[self._tags]) for kind in _IS_PART]
        items = parts[_ITEM]
        self._around = dict(zip(items.tolist(), _innermost(tree, items, tree.parent[items]).tolist(), strict=True))
        pre, heading, item, row, cell = [_innermost(tree, elements, home) for elements in parts]
        self._item, self._cell = item.tolist(), cell.tolist()
        # Code, heading or row that a block is part of, or -1: blocks of the same are written together.
        self._part = np.where(pre >= 0, pre, np.where(heading >= 0, heading, row)).tolist()
        self._goes_on = _on_next_line(blocks).tolist()
        self._begun: dict[int, int] = {}  # items written, with their indentation
        self._before = -1  # the block written last
        self._numbers: dict[int, dict[int, int]] = {}

    def page(self, members: list[int]) -> str:
        """The text of blocks of one page."""
        self.text = Text()
        for part, together in groupby(members, key=self._part.__getitem__):
            self.write(part, list(together))
        return str(self.text)

    def write(self, part: int, members: list[int]) -> None:
        texts = self._blocks.texts
        tag = int(self._tags[part]) if part >= 0 else -1
        if tag in _CODE:
            self.text.code(self._raw(part, members))
        elif tag in _HEADINGS:
            self.text.heading(" ".join([texts[block] for block in members]), _HEADINGS.index(tag) + 1)
        elif tag >= 0 and (cells := self._cells(members)):
            self.text.row(cells)
        else:
            for block in members:
                self._words(block)
        self._before = members[-1]

    def _cells(self, members: list[int]) -> list[str]:
        """Texts of the cells of a row; none where the table lays out the page."""
        if len(members) < 2:
            return []
        texts = self._blocks.texts
        cells = [[texts[block] for block in group] for _, group in groupby(members, key=self._cell.__getitem__)]
        if len(cells) < 2 or sum(map(len, (text for cell in cells for text in cell))) > _MAX_ROW:
            return []
        return [" ".join(cell) for cell in cells]

    def _words(self, block: int) -> None:
        text, item = self._blocks.texts[block], self._item[block]
        if self._goes_on[block] and self._before == block - 1:
            self.text.line(text)
        elif item >= 0 and item not in self._begun:
            self._begun[item] = indent = self._begun.get(self._around[item], -1) + 1
            self.text.item(text, "  " * indent + self._marker(item))
        else:
            self.text.paragraph(text)
        self._before = block

    def _marker(self, item: int) -> str:
        parent = int(self._tree.parent[item])
        if self._tags[parent] != TAG["ol"]:
            return "- "
        if parent not in self._numbers:
            end = int(np.searchsorted(self._tree.start, self._tree.end[parent]))
            children = (self._tree.parent[parent:end] == parent) & (self._tags[parent:end] == TAG["li"])
            places = np.flatnonzero(children).tolist()
            self._numbers[parent] = {parent + place: number for number, place in enumerate(places, 1)}
        return f"{self._numbers[parent][item]}. "

    def _raw(self, element: int, members: list[int]) -> str:
        return "".join(self._pieces(element, members))

    def _pieces(self, element: int, members: list[int]) -> Iterator[str]:
        """Text as it stands in a ``pre``, from its first kept block to its last, line breaks for breaking tags."""
        tree, blocks = self._tree, self._blocks
        first, last = int(blocks.first[members[0]]), int(blocks.last[members[-1]])
        if members[0] == 0 or blocks.last[members[0] - 1] <= tree.start[element]:
            first = int(tree.start[element])  # with the indentation of its first line
        ends_line = True
        for token in range(first, last):
            if tree.breaks[token] and not ends_line and token > first:
                yield "\n"
                ends_line = True
            if not tree.skipped[token] and (text := tree.text(token)):
                yield text
                ends_line = text.endswith("\n")


def _on_next_line(blocks: Blocks) -> Array:
    """By block: whether one line break is all that lies between it and the one before."""
    tree = blocks.tree
    between = blocks.last[:-1], blocks.first[1:] + 1
    breaks, lines = (np.append(0, np.cumsum(mark)) for mark in (tree.breaks, tree.tags == TAG["br"]))
    one = (breaks[between[1]] - breaks[between[0]] == 1) & (lines[between[1]] - lines[between[0]] == 1)
    return np.append(False, one & (blocks.box[:-1] == blocks.box[1:]))


def _innermost(tree: FlatTree, elements: Array, inner: Array) -> Array:
    """Of some elements, ascending, the innermost that each of others is or lies in, or -1."""
    if not len(elements):
        return np.full(len(inner), -1)
    starts, ends = tree.start[elements], np.sort(tree.end[elements])

    def keys(places: Array) -> Array:
        """How many of the elements are open at each place, then the place."""
        return (np.searchsorted(starts, places, "right") - np.searchsorted(ends, places)) * len(tree.tags) + places

    # Where so many are open, the last that opened as the so-manieth is the innermost.
    own, wanted = keys(starts), keys(tree.start[inner])
    order = np.argsort(own)
    at = np.searchsorted(own[order], wanted, "right") - 1
    return np.where(wanted < len(tree.tags), -1, elements[order[at]])
