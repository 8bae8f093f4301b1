"""The boxes around the blocks of a page: what they hold, and how far a block is from where the text is."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.web.pages.blocks import STOP, Blocks
from stages.web.pages.flat_tree import NAMES, TAG

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


def around(blocks: Blocks) -> Around:
    """The boxes of a page."""
    tree = blocks.tree
    begin, stop = np.searchsorted(blocks.first, tree.start), np.searchsorted(blocks.first, tree.end)
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
    return Around(up, levels, begin[levels], np.maximum(stop[levels], begin[levels] + 1))


def ancestors(blocks: Blocks, around: Around, prose: Array) -> Columns:
    """Shares of text, links and prose of the boxes around a block, and the block's place in them."""
    found: Columns = {}
    tree, low, high = blocks.tree, around.low, around.high
    place = np.arange(len(blocks.size))
    count = high - low
    size = within(blocks.size, low, high)
    kin = _siblings(blocks)[around.boxes]
    parts = {
        "blocks": count,
        "size": size,
        "size_share": size / blocks.size.sum(),
        "link_share": within(blocks.linked, low, high) / size,
        "mean_size": size / count,
        "stop_share": within(blocks.counts[:, STOP], low, high) / size,
        "prose_share": within(prose, low, high) / size,
        "prose_of_page": within(prose, low, high) / max(int(prose.sum()), 1),
        "place": (place - low) / count,
        "from_end": high - 1 - place,
        "depth": tree.depth[blocks.home] - tree.depth[around.boxes],
        "siblings": kin,
    }
    for name, levels in parts.items():
        found.update({f"{name}_of{level}": column for level, column in enumerate(levels, 1)})
    return found


def expected(blocks: Blocks, around: Around, mass: Array) -> Columns:
    """Share of main text expected in each box, and share of the page's that the box holds."""
    found: Columns = {}
    inside = within(mass, around.low, around.high)
    size = within(blocks.size, around.low, around.high)
    for level in range(_LEVELS):
        found[f"chance_of{level + 1}"] = inside[level] / size[level]
        found[f"mass_of{level + 1}"] = inside[level] / max(int(mass.sum()), 1)
    return found


def alike(blocks: Blocks, chances: Array, mass: Array) -> Columns:
    """What blocks in boxes with the same tag and class come to together."""
    tree = blocks.tree
    key = tree.tags[tree.start[blocks.box]] * (1 << 32) + blocks.names[blocks.box]
    _, which = np.unique(key, return_inverse=True)
    number = np.bincount(which)[which]
    return {
        "alike": number,
        "chance_of_alike": np.bincount(which, chances)[which] / number,
        "mass_of_alike": np.bincount(which, mass)[which] / np.bincount(which, blocks.size)[which],
    }


def nearness(blocks: Blocks, around: Around, weight: Array, name: str) -> Columns:
    """Where a block lies with respect to the box that directly holds most of some weight."""
    tree, count = blocks.tree, len(weight)
    parents = around.boxes[1]
    score = np.bincount(parents, 2 * weight, len(tree.start)) + np.bincount(around.boxes[2], weight, len(tree.start))
    box = int(np.argmax(score))
    inside = np.flatnonzero((blocks.first >= tree.start[box]) & (blocks.first < tree.end[box]))
    first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, count - 1)
    place = np.arange(count)
    return {
        f"steps_to_{name}": _steps(blocks, around, box),
        f"best_{name}": score[box] / max(2 * int(weight.sum()), 1),
        f"before_{name}": np.maximum(first - place, 0),
        f"after_{name}": np.maximum(place - last, 0),
        f"place_in_{name}": (place - first) / (last - first + 1),
        f"parent_{name}": score[parents] / max(score.max(), 1),
        f"grandparent_{name}": score[around.boxes[2]] / max(score.max(), 1),
    }


def steps_to_title(blocks: Blocks, around: Around, overlap: Array) -> Columns:
    """Boxes to climb from the block that bears the page's title until a block is inside too.

    Args:
        blocks: The page.
        around: Its boxes.
        overlap: (blocks,) share of the page's title that each block's text is.
    """
    tag = blocks.tree.tags[blocks.tree.start[blocks.box]]
    heading = (tag >= TAG["h1"]) & (tag <= TAG["h6"])
    likely = overlap + 0.4 * heading + 0.3 * (tag == TAG["h1"])
    best = int(np.argmax(likely))
    count = len(likely)
    if likely[best] < 0.4:
        return {"steps_to_title": -1, "after_title": 0}
    return {
        "steps_to_title": _steps(blocks, around, int(blocks.box[best])),
        "after_title": np.arange(count) - best,
    }


def _steps(blocks: Blocks, around: Around, box: int) -> Array:
    """Boxes to climb from one until it holds each block."""
    tree = blocks.tree
    steps = np.zeros(len(blocks.first), np.int64)
    for _ in range(_STEPS):
        steps += (blocks.first < tree.start[box]) | (blocks.first >= tree.end[box])
        box = int(around.up[box])
    return steps


def within(column: Array, low: Array, high: Array) -> Array:
    """Sums of a column from each low place to below each high one."""
    total = np.concatenate(([0], np.cumsum(column)))
    return total[high] - total[low]


def _siblings(blocks: Blocks) -> Array:
    """By element: how many of its parent's children have its tag and first class."""
    tree = blocks.tree
    key = (tree.parent * len(NAMES) + tree.tags[tree.start]) * (1 << 32) + blocks.names
    _, which, counts = np.unique(key, return_inverse=True, return_counts=True)
    return counts[which]
