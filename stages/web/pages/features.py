"""What a block tells about itself, its surroundings and its page, as numbers that know neither language nor year.

Only exact arithmetic and divisions: the same page gives the same numbers on every machine.
"""

import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np

from stages.web.pages import hints, regions
from stages.web.pages.blocks import DIGIT, MARK, PAUSE, SPACE, STOP, SYMBOL, UPPER, Blocks
from stages.web.pages.flat_tree import NAMES, TAG, FlatTree
from stages.web.pages.hints import BITS

Array = np.ndarray[Any, Any]
Columns = dict[str, Any]

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
    "noscript": ["noscript"],
    "unknown": ["unknown"],
}
_TAG_BITS = np.zeros(len(NAMES), np.int64)
for _number, _alike in enumerate(_TAGS.values()):
    for _name in _alike:
        _TAG_BITS[TAG[_name]] |= 1 << _number

_CONTENT = re.compile(r'\scontent="([^"]*)"')
_LONG = 80  # characters from which a block without a full stop counts as prose


class Everything:
    """The names of all features there are."""

    def __contains__(self, name: object) -> bool:
        """Whatever it is."""
        return True


def first_look(blocks: Blocks, around: regions.Around, wanted: Container[str]) -> Columns:
    """Features of every block by name, each ``(blocks,)`` or one number for all.

    Args:
        blocks: The page.
        around: Its boxes.
        wanted: Names; others may be left out.
    """
    found: Columns = {}
    own = _own(blocks)
    found.update(own)
    found.update(_names(blocks, wanted))
    found.update(_neighbours(blocks, own, wanted))
    prose = np.where(
        (blocks.size >= _LONG) | (blocks.ends_with == STOP), np.maximum(blocks.size - 2 * blocks.linked, 0), 0
    )
    overlap = _title_overlap(blocks)
    found.update(regions.ancestors(blocks, around, prose))
    found.update(regions.nearness(blocks, around, prose, "prose"))
    found.update(regions.steps_to_title(blocks, around, overlap))
    found.update(_page(blocks, prose, overlap))
    return found


def second_look(blocks: Blocks, around: regions.Around, chances: Array) -> Columns:
    """What the first look at a page tells about each block, given how likely it found every block.

    Args:
        blocks: The page.
        around: Its boxes.
        chances: (blocks,) of being main text, in millionths: whole numbers add up to the same everywhere.
    """
    count = len(chances)
    place = np.arange(count)
    mass = chances * blocks.size
    found: Columns = {"chance": chances}
    for distance in (1, 2, 3):
        padding = np.full(min(distance, count), -1)
        found[f"chance_before{distance}"] = np.concatenate((padding, chances[: count - len(padding)]))
        found[f"chance_after{distance}"] = np.concatenate((chances[len(padding) :], padding))
    for reach in (2, 5, 12):
        low, high = np.maximum(place - reach, 0), np.minimum(place + reach + 1, count)
        weighted, size = regions.within(mass, low, high), regions.within(blocks.size, low, high)
        found[f"chance_within{reach}"] = weighted / size
        found[f"mean_chance_within{reach}"] = regions.within(chances, low, high) / (high - low)
    total, size = mass.sum(), blocks.size.sum()
    before = np.cumsum(mass) - mass
    found["mass_before"] = _share(before, total)
    found["mass_after"] = _share(total - before - mass, total)
    found["page_chance"] = total / size
    found["page_best"] = chances.max()
    found["chance_rank"] = np.searchsorted(np.sort(-chances), -chances) / count
    found.update(regions.alike(blocks, chances, mass))
    found.update(regions.expected(blocks, around, mass))
    found.update(regions.nearness(blocks, around, mass, "mass"))
    return found


def table(found: Columns, names: Sequence[str], blocks: int) -> Array:
    """The named features as ``(features, blocks)``, float32."""
    rows = np.empty((len(names), blocks), np.float32)
    for row, name in zip(rows, names, strict=True):
        row[:] = found[name]
    return rows


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


def _unpacked(bits: Array, names: Iterable[str], prefix: str, wanted: Container[str]) -> Columns:
    named = ((f"{prefix}_{name}", number) for number, name in enumerate(names))
    return {name: bits >> number & 1 for name, number in named if name in wanted}


def _names(blocks: Blocks, wanted: Container[str]) -> Columns:
    """Tags and hints of the block's box, of the three elements around it, and of all around it."""
    tree = blocks.tree
    tags = tree.tags[tree.start]
    bits = _TAG_BITS[tags]
    # What the whole page is called tells its type, and nothing about its parts.
    own = np.where(tags > TAG["body"], blocks.hints, 0)
    all_tags, all_hints = _inherited(tree, bits), _inherited(tree, own)
    near = blocks.home
    near_tags, near_hints = np.zeros_like(near), np.zeros_like(near)
    for _ in range(4):
        near_tags |= bits[near]
        near_hints |= own[near]
        near = tree.parent[near]
    bad = sum((all_hints[blocks.home] & BITS[name] > 0).astype(np.int64) for name in _BAD)
    good = sum((all_hints[blocks.home] & BITS[name] > 0).astype(np.int64) for name in _GOOD)
    return {
        **_unpacked(near_tags, _TAGS, "near", wanted),
        **_unpacked(all_tags[blocks.home], _TAGS, "in", wanted),
        **_unpacked(near_hints, BITS, "near_hint", wanted),
        **_unpacked(all_hints[blocks.home], BITS, "hint", wanted),
        "bad_hints": np.asarray(bad),
        "good_hints": np.asarray(good),
        "depth": tree.depth[blocks.home],
        **_type(blocks, near_tags, near_hints),
    }


def _type(blocks: Blocks, near_tags: Array, near_hints: Array) -> Columns:
    """What tells a shop from a forum: names of the whole page, and how many of its blocks are near which names."""
    tree = blocks.tree
    (whole,) = np.nonzero(tree.tags[tree.start] <= TAG["body"])
    stated = int(np.bitwise_or.reduce(blocks.hints[whole], initial=0)) | _stated_type(tree)
    found: Columns = {f"page_{name}": stated >> number & 1 for number, name in enumerate(BITS)}
    for prefix, bits, names in (("page_near", near_tags, _TAGS), ("page_near_hint", near_hints, BITS)):
        shares = (bits[:, None] >> np.arange(len(names)) & 1).sum(0) / len(bits)
        found.update({f"{prefix}_{name}": share for name, share in zip(names, shares.tolist(), strict=True)})
    return found


def _stated_type(tree: FlatTree) -> int:
    """Hints in the type that a page states for those who link to it (Open Graph)."""
    for token in np.flatnonzero(tree.tags == TAG["meta"]).tolist():
        attributes = tree.attributes(token)
        if '"og:type"' in attributes and (content := _CONTENT.search(attributes)):
            return hints.read(f' class="{content[1]}"')[0]
    return 0


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


def _neighbours(blocks: Blocks, own: Columns, wanted: Container[str]) -> Columns:
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
            if (before := f"{name}_before{distance}") in wanted:
                found[before] = np.concatenate((padding, column[: count - len(padding)]))
            if (after := f"{name}_after{distance}") in wanted:
                found[after] = np.concatenate((column[len(padding) :], padding))
    gap = np.concatenate(([0], blocks.first[1:] - blocks.last[:-1]))
    found["gap_before"] = gap
    found["gap_after"] = np.concatenate((gap[1:], [0]))
    for reach in (2, 5, 12):
        low, high = np.maximum(np.arange(count) - reach, 0), np.minimum(np.arange(count) + reach + 1, count)
        size = regions.within(blocks.size, low, high)
        found[f"size_within{reach}"] = size / (high - low)
        found[f"link_share_within{reach}"] = _share(regions.within(blocks.linked, low, high), size)
        found[f"stop_share_within{reach}"] = _share(regions.within(own["stops"], low, high), size)
    return found


def _page(blocks: Blocks, prose: Array, overlap: Array) -> Columns:
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
    titles = np.flatnonzero(overlap > 0.5)
    whole: Columns = {
        "page_blocks": count,
        "page_size": total[-1],
        "page_link_share": blocks.linked.sum() / total[-1],
        "page_prose_share": prose.sum() / total[-1],
        "page_stops": blocks.counts[:, STOP].sum() / count,
        "page_largest": size.max(),
        "page_largest_prose": prose.max(),
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
        "h1_count": len(mains),
        "copies": np.array([copies[text] for text in blocks.texts]),
        "title_overlap": overlap,
        "since_title": place - (titles[-1] if len(titles) else -1),
    }


def _title_overlap(blocks: Blocks) -> Array:
    """Share of the page's title that a block's text is, where it is part of it; 0-1."""
    tree = blocks.tree
    (found,) = np.nonzero(tree.opens & (tree.tags == TAG["title"]))
    title = " ".join(tree.text(found[0]).split()) if len(found) else ""
    return np.array([len(text) / len(title) if len(text) > 2 and text in title else 0.0 for text in blocks.texts])
