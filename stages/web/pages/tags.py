"""HTML's elements: which there are, what each does to the text around it, and how their names are found in a page."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_BLOCK = [
    "html", "body", "div", "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "table",
    "thead", "tbody", "tfoot", "caption", "tr", "td", "th", "pre", "blockquote", "article", "section", "main", "nav",
    "header", "footer", "aside", "address", "figure", "figcaption", "form", "fieldset", "legend", "details",
    "summary", "center", "hgroup", "menu", "button", "label", "dialog", "search", "listing", "unknown", "noscript",
]  # fmt: skip
_INLINE = [
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins",
    "kbd", "mark", "nobr", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub", "sup",
    "time", "tt", "u", "var",
]  # fmt: skip
_VOID_INLINE = ["img", "wbr", "input"]
_VOID_BLOCK = ["br", "hr"]
_OTHER_VOID = [
    "area", "base", "basefont", "bgsound", "col", "embed", "frame", "link", "meta", "param", "source", "track",
]  # fmt: skip
# Elements whose text nobody reads as part of the page. That of noscript may be all there is: Discourse serves whole
# threads in it.
_SKIPPED = [
    "head", "title", "script", "style", "svg", "math", "template", "select", "textarea", "datalist",
    "object", "video", "audio", "canvas", "map", "iframe", "noembed", "noframes", "frameset",
]  # fmt: skip

NAMES = [*_BLOCK, *_INLINE, *_VOID_INLINE, *_VOID_BLOCK, *_OTHER_VOID, *_SKIPPED]
"""All that is told apart; any other is ``unknown``."""

TAG = {name: number for number, name in enumerate(NAMES)}
"""The number of a name, which is what stands for it in arrays."""

BREAKS = np.array([name in _BLOCK or name in _VOID_BLOCK or name in _SKIPPED for name in NAMES])
"""(names,) whether text before and after the tag belongs to different blocks."""

IS_VOID = np.array([name in _VOID_INLINE or name in _VOID_BLOCK or name in _OTHER_VOID for name in NAMES])
"""(names,) whether the element has no content and no closing tag."""

IS_SKIPPED = np.array([name in _SKIPPED for name in NAMES])
"""(names,) whether the element's text is no text of the page."""

# Names as two words of eight letters each, looked up by one number of both.
WINDOW = 16
"""Bytes of a page that are looked at for a name."""

_EACH = np.uint64(0x0101010101010101)
_ENDS = [np.uint64(ord(end)) * _EACH for end in " >"]  # what no name holds


def _as_numbers(first: Array, second: Array) -> Array:
    return first ^ second * np.uint64(0x9E3779B97F4A7C15)


_NUMBERS = _as_numbers(*np.array([name.encode() for name in NAMES], f"S{WINDOW}").view("<u8").reshape(-1, 2).T)
_TAGS = np.argsort(_NUMBERS)
_NUMBERS = _NUMBERS[_TAGS]


def tags_at(letters: Array, opening: Array) -> tuple[Array, Array, Array]:
    """By token: the tag as an index into NAMES, whether it closes, and where its name ends, as far as it is looked at.

    ``letters`` go on for WINDOW behind the last name.
    """
    closes = letters[opening + 1] == ord("/")
    begin = opening + 1 + closes
    words = np.ndarray((len(letters) - 7,), "<u8", letters, strides=(1,))  # that begin at each letter
    first, length = _cut(words[begin])
    (longer,) = np.nonzero(length == 8)
    second, further = _cut(words[begin[longer] + 8])
    length[longer] += further
    rest = np.zeros_like(first)
    rest[longer] = second
    numbers = _as_numbers(first, rest)
    at = np.minimum(np.searchsorted(_NUMBERS, numbers), len(_NUMBERS) - 1)
    return np.where(_NUMBERS[at] == numbers, _TAGS[at], TAG["unknown"]), closes, begin + length


def _cut(words: Array) -> tuple[Array, Array]:
    """Words of eight letters up to where a name ends, 0 behind it, and how many letters that leaves.

    A byte is 0 where taking 1 from it borrows (Warren, Hacker's Delight, section 6-1); the lowest found is one.
    """
    ends = np.zeros_like(words)
    for end in _ENDS:
        other = words ^ end
        ends |= (other - _EACH) & ~other & (_EACH << np.uint64(7))
    kept = ((ends & (~ends + np.uint64(1))) >> np.uint64(7)) - np.uint64(1)  # all of it where none ends
    return words & kept, np.bitwise_count(kept).astype(np.int64) >> 3
