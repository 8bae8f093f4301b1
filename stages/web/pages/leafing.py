"""Links by which readers leaf through a site, such as ``Prev | Up | Home | Next``: they are no text of a page.

A page's head may state which pages lie before, behind and above it (HTML standard, section 4.6.7.16; HTML 4.01, section
6.12), as DocBook, Sphinx and blogs do: links to those are found in any language.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from stages.web.pages.blocks import Blocks
from stages.web.pages.flat_tree import FlatTree
from stages.web.pages.tags import TAG

Array = np.ndarray[Any, Any]

_BESIDE = (b' rel="next"', b' rel="prev')  # one of which a page has that states what lies beside it: most have neither
_RELATIONS = frozenset(("next", "prev", "previous", "up", "home", "start", "contents", "index", "first", "last"))
_REL = re.compile(r'\srel="([^"]*)"')
_HREF = re.compile(r'\shref="([^"]+)"')
_FEW = 60  # words, at most, of a table that is there for its links; it names the neighbouring chapters besides


def found(blocks: Blocks) -> Array:
    """(blocks,) whether each is for leafing: mostly such a link, or in a small table that holds two or more."""
    tree = blocks.tree
    leafs = np.zeros(len(blocks.first), bool)
    links = _links(tree)
    if not len(links):
        return leafs
    at = np.minimum(np.searchsorted(blocks.last, tree.start[links], "right"), len(leafs) - 1)
    holds = blocks.first[at] < tree.end[links]
    leafs[at[holds & (2 * blocks.linked[at] > blocks.size[at])]] = True
    tables, counts = np.unique(_tables(tree, links), return_counts=True)
    for table in tables[(counts > 1) & (tables >= 0)].tolist():
        low, high = blocks.before[[tree.start[table], tree.end[table]]].tolist()
        if blocks.words[low:high].sum() <= _FEW:
            leafs[low:high] = True
    return leafs


def _links(tree: FlatTree) -> Array:
    """Elements that link to what the head of their page says lies around it, where that is a page beside it."""
    pages = _stating(tree)
    heads, anchors = (np.flatnonzero(tree.tags == TAG[name]) for name in ("link", "a"))
    stated: dict[int, set[str]] = defaultdict(set)
    for page, token, target in _linking(tree, heads, pages):
        relation = _REL.search(tree.attributes(token))
        if relation and not _RELATIONS.isdisjoint(relation[1].lower().split()):
            stated[page].add(target)
    tokens = [token for page, token, target in _linking(tree, anchors, pages) if target in stated[page]]
    return np.searchsorted(tree.start, np.array(tokens, np.int64))  # closing tags have no target


def _stating(tree: FlatTree) -> list[int]:
    """Pages whose head states a page beside it."""
    bodies = np.append(np.flatnonzero(tree.tags == TAG["body"]), len(tree.tags))
    stops = np.minimum(bodies[np.searchsorted(bodies, tree.begins)], np.append(tree.begins[1:], len(tree.tags)) - 1)
    edges = zip(tree.begin[tree.begins].tolist(), tree.begin[stops].tolist(), strict=True)
    heads = (tree.page[begin:end] for begin, end in edges)
    return [page for page, head in enumerate(heads) if any(stated in head for stated in _BESIDE)]


def _linking(tree: FlatTree, tokens: Array, pages: Sequence[int]) -> Iterator[tuple[int, int, str]]:
    """Page, token and target of those tags of some pages that have a target."""
    numbers = np.searchsorted(tree.begins, tokens, "right") - 1
    told = np.isin(numbers, pages)
    numbers, tokens = numbers[told], tokens[told]
    for page, token, stated in zip(numbers.tolist(), tokens.tolist(), tree.attributes_of(tokens), strict=True):
        if target := _HREF.search(stated):
            yield page, token, target[1]


def _tables(tree: FlatTree, elements: Array) -> Array:
    """The innermost table in which each of some elements lies, or -1."""
    tags = tree.tags[tree.start]
    while True:
        there = tags[elements] == TAG["table"]
        further = np.where(there, elements, tree.parent[elements])
        if (further == elements).all():
            return np.where(there, elements, -1)
        elements = further
