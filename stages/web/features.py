"""What a block tells about itself, its surroundings and its page, as numbers that know neither language nor year.

Only exact arithmetic and divisions: the same page gives the same numbers on every machine.
"""

from collections import Counter
from typing import Any

import numpy as np

from stages.web.blocks import DIGIT, MARK, PAUSE, SPACE, STOP, SYMBOL, UPPER, Blocks
from stages.web.flat_tree import NAMES, TAG, FlatTree
from stages.web.hints import BITS

Array = np.ndarray[Any, Any]
Columns = dict[str, Array]

_TAGS = {
    "p": ["p"],
    "heading1": ["h1"],
    "heading2": ["h2"],
    "heading3": ["h3"],
    "heading4": ["h4", "h5", "h6"],
    "item": ["li"],
    "list": ["ul", "ol", "menu"],
    "definition": ["dl", "dt", "dd"],
    "table": ["table"],
    "cell": ["td"],
    "head_cell": ["th"],
    "form": ["form", "fieldset"],
    "button": ["button", "label", "legend"],
    "nav": ["nav"],
    "header": ["header", "hgroup"],
    "footer": ["footer"],
    "aside": ["aside"],
    "main": ["main"],
    "article": ["article"],
    "section": ["section"],
    "figure": ["figure"],
    "caption": ["figcaption", "caption"],
    "quote": ["blockquote", "q"],
    "pre": ["pre", "listing"],
    "code": ["code", "kbd", "samp", "tt"],
    "details": ["details", "summary"],
    "address": ["address"],
    "link": ["a"],
    "emphasis": ["b", "strong", "em", "i"],
    "dialog": ["dialog", "search"],
    "time": ["time"],
    "unknown": ["unknown"],
}
_TAG_BITS = np.zeros(len(NAMES), np.int64)
for _number, _alike in enumerate(_TAGS.values()):
    for _name in _alike:
        _TAG_BITS[TAG[_name]] |= 1 << _number

_LEVELS = 5  # ancestors looked at, each with more blocks in it than the one before
_LONG = 80  # characters from which a block without a full stop counts as prose


def columns(blocks: Blocks) -> Columns:
    """Every feature of every block by name, each ``(blocks,)``."""
    found: Columns = {}
    own = _own(blocks)
    found.update(own)
    up = _up(blocks)
    found.update(_names(blocks))
    found.update(_neighbours(blocks, own))
    prose = np.where(
        (blocks.size >= _LONG) | (blocks.ends_with == STOP), np.maximum(blocks.size - 2 * blocks.linked, 0), 0
    )
    found.update(_ancestors(blocks, up, prose))
    found.update(_region(blocks, up, prose))
    found.update(_page(blocks, prose))
    return found


def table(found: Columns) -> Array:
    """The features as ``(features, blocks)``, float32."""
    return np.array([column.astype(np.float32) for column in found.values()])


def _share(part: Array, whole: Any) -> Array:
    return part / np.maximum(whole, 1)


def _own(blocks: Blocks) -> Columns:
    size, counts = blocks.size, blocks.counts
    letters = np.maximum(counts[:, : DIGIT + 2].sum(1), 1)
    return {
        "size": size,
        "words": blocks.words,
        "word_length": size / np.maximum(blocks.words, 0.5),
        "link_share": _share(blocks.linked, size),
        "links": blocks.links,
        "strong_share": _share(blocks.strong, size),
        "runs": blocks.runs,
        "run_length": size / blocks.runs,
        "stops": counts[:, STOP],
        "pauses": counts[:, PAUSE],
        "stop_share": _share(counts[:, STOP], blocks.words),
        "pause_share": _share(counts[:, PAUSE], blocks.words),
        "upper_share": counts[:, UPPER] / letters,
        "digit_share": counts[:, DIGIT] / letters,
        "digits": counts[:, DIGIT],
        "mark_share": _share(counts[:, MARK], size),
        "symbol_share": _share(counts[:, SYMBOL], size),
        "space_share": _share(counts[:, SPACE], size),
        "ends_stop": blocks.ends_with == STOP,
        "ends_pause": blocks.ends_with == PAUSE,
        "ends_mark": blocks.ends_with >= MARK,
        "begins_upper": blocks.begins_with == UPPER,
        "begins_digit": blocks.begins_with == DIGIT,
        "begins_mark": blocks.begins_with >= STOP,
    }


def _unpacked(bits: Array, names: list[str], prefix: str) -> Columns:
    return {f"{prefix}_{name}": bits >> number & 1 for number, name in enumerate(names)}


def _names(blocks: Blocks) -> Columns:
    """Tags and hints of the block's box, of the three elements around it, and of all around it."""
    tree = blocks.tree
    bits = _TAG_BITS[tree.tags[tree.start]]
    all_tags, all_hints = _inherited(tree, bits), _inherited(tree, tree.hints)
    near = blocks.home
    near_tags, near_hints = np.zeros_like(near), np.zeros_like(near)
    for _ in range(4):
        near_tags |= bits[near]
        near_hints |= tree.hints[near]
        near = tree.parent[near]
    bad = sum((all_hints[blocks.home] & BITS[name] > 0).astype(np.int64) for name in _BAD)
    good = sum((all_hints[blocks.home] & BITS[name] > 0).astype(np.int64) for name in _GOOD)
    return {
        **_unpacked(near_tags, list(_TAGS), "near"),
        **_unpacked(all_tags[blocks.home], list(_TAGS), "in"),
        **_unpacked(near_hints, list(BITS), "near_hint"),
        **_unpacked(all_hints[blocks.home], list(BITS), "hint"),
        "bad_hints": np.asarray(bad),
        "good_hints": np.asarray(good),
        "depth": tree.depth[blocks.home],
    }


_BAD = ["navigation", "footer", "side", "social", "related", "advert", "consent", "overlay", "form", "hidden"]
_GOOD = ["content", "article", "body", "post"]


def _inherited(tree: FlatTree, bits: Array) -> Array:
    """Bits of an element or of any around it."""
    found, above = bits.copy(), tree.parent
    while True:
        found |= found[above]
        further = above[above]
        if (further == above).all():
            return found | bits[above]
        above = further


def _up(blocks: Blocks) -> Array:
    """By element: the nearest block-level ancestor that holds more blocks than it does; the root for the root."""
    tree = blocks.tree
    elements = np.arange(len(tree.start))
    inside = np.searchsorted(blocks.first, tree.end) - np.searchsorted(blocks.first, tree.start)
    parent = np.where(tree.parent == elements, elements, tree.parent)
    same = (inside[parent] == inside) | ~tree.breaks[tree.start]
    top = np.where(same, parent, elements)
    while (top[top] != top).any():
        top = top[top]
    return top[parent[top]]


def _neighbours(blocks: Blocks, own: Columns) -> Columns:
    found: Columns = {}
    tag = blocks.tree.tags[blocks.tree.start[blocks.box]]
    watched = {
        "size": blocks.size,
        "link_share": own["link_share"],
        "ends_stop": own["ends_stop"],
        "pauses": own["pauses"],
        "is_item": tag == TAG["li"],
        "is_p": tag == TAG["p"],
        "is_heading": (tag >= TAG["h1"]) & (tag <= TAG["h6"]),
    }
    count = len(blocks.size)
    for distance in (1, 2, 3):
        for name, column in watched.items():
            if distance > 1 and name.startswith("is"):
                continue
            padding = np.full(min(distance, count), -1.0)
            found[f"{name}_before{distance}"] = np.concatenate((padding, column[: count - len(padding)]))
            found[f"{name}_after{distance}"] = np.concatenate((column[len(padding) :], padding))
    gap = np.concatenate(([0], blocks.first[1:] - blocks.last[:-1]))
    found["gap_before"] = gap
    found["gap_after"] = np.concatenate((gap[1:], [0]))
    for reach in (2, 5, 12):
        low, high = np.maximum(np.arange(count) - reach, 0), np.minimum(np.arange(count) + reach + 1, count)
        sums = {}
        for name, column in (("size", blocks.size), ("linked", blocks.linked), ("stops", own["stops"])):
            total = np.concatenate(([0], np.cumsum(column)))
            sums[name] = total[high] - total[low]
        found[f"size_within{reach}"] = sums["size"] / (high - low)
        found[f"link_share_within{reach}"] = _share(sums["linked"], sums["size"])
        found[f"stop_share_within{reach}"] = _share(sums["stops"], sums["size"])
    return found


def _ancestors(blocks: Blocks, up: Array, prose: Array) -> Columns:
    """Shares of text, links and prose of the boxes around a block, and the block's place in them."""
    found: Columns = {}
    tree, count = blocks.tree, len(blocks.size)
    place = np.arange(count)
    totals = {}
    for name, column in (
        ("size", blocks.size),
        ("linked", blocks.linked),
        ("stops", blocks.counts[:, STOP]),
        ("prose", prose),
    ):
        totals[name] = np.concatenate(([0], np.cumsum(column)))
    whole = {name: total[-1] for name, total in totals.items()}
    box = blocks.box
    for level in range(1, _LEVELS + 1):
        low = np.searchsorted(blocks.first, tree.start[box])
        high = np.maximum(np.searchsorted(blocks.first, tree.end[box]), low + 1)
        sums = {name: total[high] - total[low] for name, total in totals.items()}
        within = f"_of{level}"
        found["blocks" + within] = high - low
        found["size" + within] = sums["size"]
        found["size_share" + within] = _share(sums["size"], whole["size"])
        found["link_share" + within] = _share(sums["linked"], sums["size"])
        found["mean_size" + within] = sums["size"] / (high - low)
        found["stop_share" + within] = _share(sums["stops"], sums["size"])
        found["prose_share" + within] = _share(sums["prose"], sums["size"])
        found["prose_of_page" + within] = _share(sums["prose"], whole["prose"])
        found["place" + within] = (place - low) / (high - low)
        found["from_end" + within] = high - 1 - place
        found["depth" + within] = tree.depth[blocks.home] - tree.depth[box]
        found["siblings" + within] = _siblings(tree)[box]
        box = up[box]
    return found


def _siblings(tree: FlatTree) -> Array:
    """By element: how many of its parent's children have its tag and first class."""
    key = (tree.parent * len(NAMES) + tree.tags[tree.start]) * (1 << 32) + tree.names
    _, which, counts = np.unique(key, return_inverse=True, return_counts=True)
    return counts[which]


def _region(blocks: Blocks, up: Array, prose: Array) -> Columns:
    """Where a block lies with respect to the box that directly holds most of the page's prose."""
    tree, count = blocks.tree, len(blocks.size)
    parents = up[blocks.box]
    score = np.bincount(parents, 2 * prose, len(tree.start)) + np.bincount(up[parents], prose, len(tree.start))
    box = int(np.argmax(score))
    steps = np.zeros(count, np.int64)
    best = score[box] / max(2 * int(prose.sum()), 1)
    inside = (blocks.first >= tree.start[box]) & (blocks.first < tree.end[box])
    (members,) = np.nonzero(inside)
    first, last = (int(members[0]), int(members[-1])) if len(members) else (0, count - 1)
    for _ in range(8):
        steps += ~((blocks.first >= tree.start[box]) & (blocks.first < tree.end[box]))
        box = int(up[box])
    place = np.arange(count)
    return {
        "steps_to_region": steps,
        "region_score": np.full(count, best),
        "before_region": np.maximum(first - place, 0),
        "after_region": np.maximum(place - last, 0),
        "place_in_region": (place - first) / max(last - first + 1, 1),
        "parent_score": _share(score[parents], score.max()),
        "grandparent_score": _share(score[up[parents]], score.max()),
    }


def _page(blocks: Blocks, prose: Array) -> Columns:
    """The page as a whole, and the block's rank and place in it."""
    size, count = blocks.size, len(blocks.size)
    place = np.arange(count)
    total = np.cumsum(size)
    ranks = np.empty(count, np.int64)
    ranks[np.argsort(-size, kind="stable")] = place
    tag = blocks.tree.tags[blocks.tree.start[blocks.box]]
    headings = (tag >= TAG["h1"]) & (tag <= TAG["h6"])
    mains = np.flatnonzero(tag == TAG["h1"])
    copies = Counter(blocks.texts)
    overlap = _title_overlap(blocks)
    titles = np.flatnonzero(overlap > 0.5)
    whole: Columns = {
        "page_blocks": np.full(count, count),
        "page_size": np.full(count, total[-1]),
        "page_link_share": np.full(count, blocks.linked.sum() / total[-1]),
        "page_prose_share": np.full(count, prose.sum() / total[-1]),
        "page_stops": np.full(count, blocks.counts[:, STOP].sum() / count),
        "page_largest": np.full(count, size.max()),
        "page_largest_prose": np.full(count, prose.max()),
    }
    return {
        **whole,
        "size_of_largest": size / size.max(),
        "size_of_mean": size * count / total[-1],
        "rank": ranks,
        "rank_share": ranks / count,
        "place": place,
        "place_share": place / count,
        "text_before": (total - size) / total[-1],
        "from_end": count - 1 - place,
        "since_heading": place - np.maximum.accumulate(np.where(headings, place, -1)),
        "since_first_h1": place - (mains[0] if len(mains) else -1),
        "since_last_h1": place - (mains[-1] if len(mains) else -1),
        "h1_count": np.full(count, len(mains)),
        "copies": np.array([copies[text] for text in blocks.texts]),
        "title_overlap": overlap,
        "since_title": place - (titles[-1] if len(titles) else -1),
    }


def _title_overlap(blocks: Blocks) -> Array:
    """Share of the page's title that a block's text is, where it is part of it; 0-1."""
    tree = blocks.tree
    (found,) = np.nonzero(tree.opens & (tree.tags == TAG["title"]))
    title = " ".join(tree.texts[found[0]].split()) if len(found) else ""
    return np.array([len(text) / len(title) if len(text) > 2 and text in title else 0.0 for text in blocks.texts])
