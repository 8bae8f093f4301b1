"""What a block tells about itself, its surroundings and its page, as numbers that know neither language nor year.

Only exact arithmetic and divisions: the same page gives the same numbers on every machine.
"""

from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np

from stages.web.pages import page_features, regions
from stages.web.pages.blocks import DIGIT, MARK, PAUSE, SPACE, STOP, SYMBOL, UPPER, Blocks
from stages.web.pages.flat_tree import inherited
from stages.web.pages.hints import BITS
from stages.web.pages.tags import NAMES, TAG

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

_BAD = sum(
    BITS[name]
    for name in ("navigation", "footer", "side", "social", "related", "advert", "consent", "overlay", "form", "hidden")
)
_GOOD = sum(BITS[name] for name in ("content", "article", "body", "post"))

_LONG = 80  # characters from which a block without a full stop counts as prose


class Everything:
    """The names of all features there are."""

    def __contains__(self, name: object) -> bool:
        """Whatever it is."""
        return True


def columns(blocks: Blocks, wanted: Container[str]) -> Columns:
    """Features of every block by name, each ``(blocks,)``: the same whatever other pages are looked at with its own.

    Args:
        blocks: The pages.
        wanted: Names; others may be left out.
    """
    found: Columns = {}
    found.update(_own(blocks))
    found.update(_names(blocks, wanted))
    found.update(_gaps(blocks))
    prose = np.where(
        (blocks.size >= _LONG) | (blocks.ends_with == STOP), np.maximum(blocks.size - 2 * blocks.linked, 0), 0
    )
    overlap = page_features.title_overlap(blocks)
    around = regions.around(blocks)
    found.update(regions.ancestors(blocks, around, prose))
    found.update(regions.nearness(blocks, around, prose))
    found.update(regions.steps_to_title(blocks, around, overlap))
    found.update(page_features.standing(blocks, prose, overlap))
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
    tag = blocks.tree.tags[blocks.tree.start[blocks.box]]
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
        "is_item": tag == TAG["li"],
        "is_p": tag == TAG["p"],
        "is_heading": (tag >= TAG["h1"]) & (tag <= TAG["h6"]),
    }


def _unpacked(bits: Array, names: Iterable[str], prefix: str, wanted: Container[str]) -> Columns:
    return _columns(_single(bits), names, prefix, wanted)


def _single(bits: Array) -> Array:
    """(places, 64) single bits of whole numbers, the least first."""
    return np.unpackbits(bits.astype("<i8").view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")


def _columns(table: Array, names: Iterable[str], prefix: str, wanted: Container[str]) -> Columns:
    named = ((f"{prefix}_{name}", number) for number, name in enumerate(names))
    return {name: table[:, number] for name, number in named if name in wanted}


def _names(blocks: Blocks, wanted: Container[str]) -> Columns:
    """Tags and hints of the block's box, of the three elements around it, and of all around it."""
    tree = blocks.tree
    tags = tree.tags[tree.start]
    bits = _TAG_BITS[tags]
    # What the whole page is called tells its type, and nothing about its parts.
    own = np.where(tags > TAG["body"], blocks.hints, 0)
    all_tags, all_hints = (inherited(tree.parent, kind, np.bitwise_or) for kind in (bits, own))
    near = blocks.home
    near_tags, near_hints = np.zeros_like(near), np.zeros_like(near)
    for _ in range(4):
        near_tags |= bits[near]
        near_hints |= own[near]
        near = tree.parent[near]
    hinted = all_hints[blocks.home]
    return {
        **_unpacked(near_tags, _TAGS, "near", wanted),
        **_unpacked(all_tags[blocks.home], _TAGS, "in", wanted),
        **_unpacked(near_hints, BITS, "near_hint", wanted),
        **_unpacked(hinted, BITS, "hint", wanted),
        "bad_hints": np.bitwise_count(hinted & _BAD),
        "good_hints": np.bitwise_count(hinted & _GOOD),
        "depth": tree.depth[blocks.home],
        **_type(blocks, near_tags, near_hints, wanted),
    }


def _type(blocks: Blocks, near_tags: Array, near_hints: Array, wanted: Container[str]) -> Columns:
    """What tells a shop from a forum: names of the whole page, and how many of its blocks are near which names."""
    tree = blocks.tree
    pages, told = blocks.pages, blocks.told
    whole = np.where(tree.tags[tree.start] <= TAG["body"], blocks.hints, 0)
    stated = np.bitwise_or.reduceat(whole, tree.pages.starts)[told] | page_features.stated_types(tree)[told]
    found = {name: pages.spread(column) for name, column in _unpacked(stated, BITS, "page", wanted).items()}
    for prefix, bits, names in (("page_near", near_tags, _TAGS), ("page_near_hint", near_hints, BITS)):
        shares = pages.sum(_single(bits)) / pages.counts[:, None]
        found |= {name: pages.spread(column) for name, column in _columns(shares, names, prefix, wanted).items()}
    return found


def _gaps(blocks: Blocks) -> Columns:
    """Tokens between a block and those beside it, 0 where its page has none."""
    pages = blocks.pages
    before = np.append(0, blocks.first[1:] - blocks.last[:-1])
    before[pages.starts] = 0
    behind = np.append(before[1:], 0)
    return {"gap_before": before, "gap_after": behind}
