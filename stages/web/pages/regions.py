"""The boxes around the blocks of pages: what they hold, and how far a block is from where the text is."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.web.pages.blocks import STOP, Blocks
from stages.web.pages.segments import running, within
from stages.web.pages.tags import NAMES, TAG

Array = np.ndarray[Any, Any]
Columns = dict[str, Any]

_LEVELS = 5  # boxes looked at, each with more blocks in it than the one before
_STEPS = 8  # boxes that are climbed from the text towards a block


@dataclass(frozen=True)
class Around:
    """For each element the next box around it, and for each block those it lies in."""

    up: Array  # (elements,) nearest block-level ancestor that holds more blocks; the outermost for itself
    boxes: Array  # (levels, blocks)
    low: Array  # (levels, blocks) first block of the box
    high: Array  # (levels, blocks) block behind its last
    size: Array  # (levels, blocks) length of all text in it


def around(blocks: Blocks) -> Around:
    """The boxes of all blocks."""
    tree = blocks.tree
    begin, stop = blocks.before[tree.start], blocks.before[tree.end]
    elements = np.arange(len(tree.start))
    same = (stop[tree.parent] - begin[tree.parent] == stop - begin) | ~tree.breaks[tree.start]
    top = np.where(same, tree.parent, elements)
    while (top[top] != top).any():
        top = top[top]
    up = top[tree.parent[top]]
    boxes = [blocks.box]
    for _ in range(_LEVELS - 1):
        boxes.append(up[boxes[-1]])
    levels = np.array(boxes)
    low = begin[levels]
    high = np.maximum(stop[levels], low + 1)
    return Around(up, levels, low, high, within(running(blocks.size), low, high))


def ancestors(blocks: Blocks, around: Around, prose: Array) -> Columns:
    """Shares of text, links and prose of the boxes around a block, and the block's place in them."""
    found: Columns = {}
    tree, pages, low, high, size = blocks.tree, blocks.pages, around.low, around.high, around.size
    place = np.arange(len(blocks.size))
    count = high - low
    proses = within(running(prose), low, high)
    parts = {
        "blocks": count,
        "size": size,
        "size_share": size / pages.spread(pages.sum(blocks.size)),
        "link_share": within(running(blocks.linked), low, high) / size,
        "mean_size": size / count,
        "stop_share": within(running(blocks.counts[:, STOP]), low, high) / size,
        "prose_share": proses / size,
        "prose_of_page": proses / pages.spread(np.maximum(pages.sum(prose), 1)),
        "place": (place - low) / count,
        "from_end": high - 1 - place,
        "depth": tree.depth[blocks.home] - tree.depth[around.boxes],
        "siblings": _siblings(blocks)[around.boxes],
    }
    for name, levels in parts.items():
        found.update({f"{name}_of{level}": column for level, column in enumerate(levels, 1)})
    return found


def nearness(blocks: Blocks, around: Around, prose: Array) -> Columns:
    """Where a block lies with respect to the box of its page that directly holds most of its prose."""
    tree, pages = blocks.tree, blocks.pages
    parents = around.boxes[1]
    score = np.bincount(parents, 2 * prose, len(tree.start)) + np.bincount(around.boxes[2], prose, len(tree.start))
    box = tree.pages.best(score)[blocks.told]
    low, high = blocks.before[tree.start[box]], blocks.before[tree.end[box]]
    holds = high > low
    first, last = np.where(holds, low, pages.starts), np.where(holds, high, pages.ends) - 1
    most = np.maximum(score[box], 1)
    place, first, last = np.arange(len(prose)), pages.spread(first), pages.spread(last)
    return {
        "steps_to_prose": _steps(blocks, around, box),
        "best_prose": pages.spread(score[box] / np.maximum(2 * pages.sum(prose), 1)),
        "before_prose": np.maximum(first - place, 0),
        "after_prose": np.maximum(place - last, 0),
        "place_in_prose": (place - first) / (last - first + 1),
        "parent_prose": score[parents] / pages.spread(most),
        "grandparent_prose": score[around.boxes[2]] / pages.spread(most),
    }


def steps_to_title(blocks: Blocks, around: Around, overlap: Array) -> Columns:
    """Boxes to climb from the block that bears the page's title until a block is inside too.

    Args:
        blocks: The page.
        around: Its boxes.
        overlap: (blocks,) share of the page's title that each block's text is.
    """
    pages = blocks.pages
    tag = blocks.tree.tags[blocks.tree.start[blocks.box]]
    heading = (tag >= TAG["h1"]) & (tag <= TAG["h6"])
    likely = overlap + 0.4 * heading + 0.3 * (tag == TAG["h1"])
    best = pages.best(likely)
    there = pages.spread(likely[best] >= 0.4)
    return {
        "steps_to_title": np.where(there, _steps(blocks, around, blocks.box[best]), -1),
        "after_title": np.where(there, np.arange(len(likely)) - pages.spread(best), 0),
    }


def _steps(blocks: Blocks, around: Around, box: Array) -> Array:
    """Boxes to climb from one of each page until it holds each block of that page."""
    tree = blocks.tree
    steps = np.zeros(len(blocks.first), np.int64)
    for _ in range(_STEPS):
        inside = [blocks.pages.spread(edge[box]) for edge in (tree.start, tree.end)]
        steps += (blocks.first < inside[0]) | (blocks.first >= inside[1])
        box = around.up[box]
    return steps


def _siblings(blocks: Blocks) -> Array:
    """By element: how many of its parent's children have its tag and first class."""
    tree = blocks.tree
    key = (tree.parent * len(NAMES) + tree.tags[tree.start]) * (1 << 32) + blocks.classes
    _, which, counts = np.unique(key, return_inverse=True, return_counts=True)
    return counts[which]
