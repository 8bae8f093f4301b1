"""The chosen blocks of pages as Markdown-like text: headings, lists, rows of tables, code, lines of a paragraph."""

import re
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from stages.web.pages.blocks import Blocks
from stages.web.pages.flat_tree import FlatTree
from stages.web.pages.markdown import Text
from stages.web.pages.notation import Passages, passages
from stages.web.pages.tables import Tables
from stages.web.pages.tags import NAMES, TAG

Array = np.ndarray[Any, Any]

_CODE = [TAG["pre"], TAG["listing"]]
_HEADINGS = [TAG[f"h{level}"] for level in range(1, 7)]
_PARTS = [["pre", "listing"], [f"h{level}" for level in range(1, 7)], ["li"], ["tr"], ["td", "th"]]
_ITEM = 2
_IS_PART = np.array([[name in names for name in NAMES] for names in _PARTS])
_MAX_ROW = 1000  # characters: a table with more in a row lays out the page
_START, _VALUE = (re.compile(rf'\s{name}="\s*(-?\d{{1,9}})') for name in ("start", "value"))
_REVERSED = re.compile(r"\sreversed=")
# What highlighters call the number that they write before a line of code.
_LINE_NUMBER = re.compile(r'\bclass="[^"]*\b(?:linenos?|lno|lnt?|line-?numbers?)\b')


def written(blocks: Blocks, kept: Array) -> list[str]:
    """The text of the blocks that are kept of each page with text, in the order of the page."""
    found = passages(blocks, kept)
    (chosen,) = np.nonzero(found.kept)
    writer = _Writer(found, chosen)
    edges = np.searchsorted(chosen, [*found.pages.starts, found.pages.size]).tolist()
    members = chosen.tolist()
    return [writer.page(members[start:end]) for start, end in pairwise(edges)]


class _Writer:
    def __init__(self, blocks: Passages, chosen: Array) -> None:
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
        self._tables = Tables(tree, np.unique(cell[chosen]).tolist())
        # Code, heading or row that a block is part of, or -1: blocks of the same are written together.
        self._part = np.where(pre >= 0, pre, np.where(heading >= 0, heading, row)).tolist()
        self._goes_on = _on_next_line(blocks).tolist()
        self._begun: dict[int, int] = {}  # items written, with their indentation
        self._before = -1  # the block written last
        self._table = -1  # the table of which a row was written last
        self._numbers: dict[int, dict[int, int]] = {}

    def page(self, members: list[int]) -> str:
        """The text of blocks of one page."""
        self.text = Text()
        parts = [(part, list(own)) for part, own in groupby(members, key=self._part.__getitem__)]
        for (part, own), following in zip(parts, [*parts[1:], (-1, [])], strict=True):
            if not self._numbers_lines(part, own, *following):
                self.write(part, own)
        return str(self.text)

    def write(self, part: int, members: list[int]) -> None:
        texts = self._blocks.texts
        tag, table = int(self._tags[part]) if part >= 0 else -1, -1
        if tag in _CODE:
            self.text.code(self._raw(part, members))
        elif tag in _HEADINGS:
            self.text.heading(" ".join([texts[block] for block in members]), _HEADINGS.index(tag) + 1)
        elif tag >= 0 and (cells := self._cells(part, members)):
            self.text.row(cells)
            table = self._tables.table(part)
        else:
            for block in members:
                self._words(block)
        self._before, self._table = members[-1], table

    def _cells(self, row: int, members: list[int]) -> list[str]:
        """Texts of the cells of a row, empty ones among them; none where the table lays out the page."""
        texts = self._blocks.texts
        cells = [(cell, [texts[block] for block in own]) for cell, own in groupby(members, key=self._cell.__getitem__)]
        if len(cells) < 2 and (self._table != self._tables.table(row) or self._tables.is_all(row, cells[0][0])):
            return []
        if sum(len(text) for _, own in cells for text in own) > _MAX_ROW:
            return []
        shown: list[str] = []
        for cell, own in cells:
            shown += [""] * (self._tables.column(row, cell) - len(shown))
            shown.append(" ".join(own))
        return shown

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
            items = [parent + place for place in np.flatnonzero(children).tolist()]
            self._numbers[parent] = dict(zip(items, self._counted(parent, items), strict=True))
        return f"{self._numbers[parent][item]}. "

    def _counted(self, parent: int, items: list[int]) -> Iterator[int]:
        """Numbers of all items of an ordered list (HTML standard, section 4.4.5)."""
        tree = self._tree
        opening = tree.attributes(int(tree.start[parent]))
        start, step = _START.search(opening), -1 if _REVERSED.search(opening) else 1
        number = int(start[1]) if start else 1 if step > 0 else len(items)
        low, high = tree.begin[[tree.start[parent], tree.end[parent]]].tolist()
        states = tree.page.find(b" value=", low, high) > 0  # most do not
        for item in items:
            if states and (value := _VALUE.search(tree.attributes(int(tree.start[item])))):
                number = int(value[1])
            yield number
            number += step

    def _numbers_lines(self, part: int, members: list[int], following: int, others: list[int]) -> bool:
        """Whether a piece of code does nothing but number the lines of the one that follows."""
        if part < 0 or following < 0 or self._tags[part] not in _CODE or self._tags[following] not in _CODE:
            return False
        numbers = " ".join([self._blocks.texts[block] for block in members]).split()
        if not (numbers[0].isdecimal() and len(numbers[0]) < 7):
            return False
        first, code = int(numbers[0]), self._raw(following, others)
        return numbers == [str(number) for number in range(first, first + len(numbers))] and (
            code.strip("\n").count("\n") < len(numbers) <= code.count("\n") + 1
        )

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
                if text.strip().isdecimal() and _LINE_NUMBER.search(self._opening(token)):
                    continue
                yield text
                ends_line = text.endswith("\n")

    def _opening(self, token: int) -> str:
        """Attributes of the element in which the text behind a token lies, unless that is all of the code."""
        home = int(self._tree.home[token])
        return "" if self._tags[home] in _CODE else self._tree.attributes(int(self._tree.start[home]))


def _on_next_line(blocks: Passages) -> Array:
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
