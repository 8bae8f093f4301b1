"""Trees of pages as flat arrays: tags in the order of the page, the text behind each, parents and ends by position.

The parser's own serialisation is well formed and escapes every bracket that is no tag's, so all tags are found at once
from the places of the brackets, and what a walk of the tree would find out node by node comes out of sorted arrays.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from stages.web.pages.segments import Segments

Array = np.ndarray[Any, Any]

# What there is besides tags and text: comments, declarations, processing instructions, and elements in whose text
# nothing is escaped.
_NO_TAG = re.compile(
    r"<!--.*?-->|<[!?][^>]*>|<(script|style|xmp|iframe|noembed|noframes|plaintext)(?=[\s>])[^>]*>(.*?)</\1>", re.DOTALL
)
# All that the parser escapes. What could be taken for a part of a tag is kept apart as noncharacters: no text has them.
LESS, GREATER, QUOTE = "\ufdd0", "\ufdd1", "\ufdd2"
_ENTITIES = {"&nbsp;": "\xa0", "&lt;": LESS, "&gt;": GREATER, "&quot;": QUOTE, "&amp;": "&"}
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
    "area",
    "base",
    "basefont",
    "bgsound",
    "col",
    "embed",
    "frame",
    "link",
    "meta",
    "param",
    "source",
    "track",
]
# Elements whose text nobody reads as part of the page. That of noscript may be all there is: Discourse serves whole
# threads in it.
_SKIPPED = [
    "head", "title", "script", "style", "svg", "math", "template", "select", "textarea", "datalist",
    "object", "video", "audio", "canvas", "map", "iframe", "noembed", "noframes", "frameset",
]  # fmt: skip

# The text of links by which a heading's address is copied, as Sphinx, Docusaurus and others write it.
_PINS = frozenset("¶#§🔗⚓")
_MAX_PIN = 8  # characters, with white space
_MAY_BEGIN_PIN = np.array([chr(code).isspace() or chr(code) in _PINS for code in range(0x2100)] + [True])  # beyond

NAMES = [*_BLOCK, *_INLINE, *_VOID_INLINE, *_VOID_BLOCK, *_OTHER_VOID, *_SKIPPED]
TAG = {name: number for number, name in enumerate(NAMES)}
_BREAKS = np.array([name in _BLOCK or name in _VOID_BLOCK or name in _SKIPPED for name in NAMES])
_IS_VOID = np.array([name in _VOID_INLINE or name in _VOID_BLOCK or name in _OTHER_VOID for name in NAMES])
_IS_SKIPPED = np.array([name in _SKIPPED for name in NAMES])

# Names as pairs of eight bytes, looked up by one number of both.
_LONGEST_NAME = max(map(len, NAMES))
_WINDOW = 16
_NO_LETTER = 127  # what stands for all characters that no tag has in its name


def _as_numbers(names: Array) -> Array:
    pairs = names.view("<u8")
    return pairs[:, 0] ^ pairs[:, 1] * np.uint64(0x9E3779B97F4A7C15)


_BYTES = np.array([name.encode() for name in NAMES], f"S{_WINDOW}")
_NUMBERS = _as_numbers(_BYTES.view(np.uint8).reshape(-1, _WINDOW))
_TAGS = np.argsort(_NUMBERS)
_NUMBERS = _NUMBERS[_TAGS]


@dataclass(frozen=True)
class FlatTree:
    """Tags of one or more pages, and the text that follows each of them.

    Tokens are the tags, opening and closing; elements are the tags that open, void ones left out.
    """

    page: str  # all pages, one after the other
    begins: Array  # (pages,) first token of each
    codes: Array  # (characters,) uint32
    tags: Array  # (tokens,) index into NAMES
    opens: Array  # (tokens,) whether the token opens an element; false for void ones
    breaks: Array  # (tokens,) whether text before and after belongs to different blocks
    named: Array  # (tokens,) where in the page the tag's name ends
    begin: Array  # (tokens,) where the text behind the tag begins
    stop: Array  # (tokens,) where it ends
    skipped: Array  # (tokens,) whether the text behind the token is no text of the page
    home: Array  # (tokens,) the element in which that text lies
    start: Array  # (elements,) token that opens it
    end: Array  # (elements,) token that closes it
    parent: Array  # (elements,) itself for the outermost
    depth: Array  # (elements,) from 1

    @functools.cached_property
    def pages(self) -> Segments:
        """The elements of each page."""
        return Segments(np.searchsorted(self.start, self.begins), len(self.start))

    def text(self, token: int) -> str:
        """The text behind a tag, as a reader sees it."""
        return seen(self.page[self.begin[token] : self.stop[token]])

    def attributes(self, token: int) -> str:
        """What stands in a tag behind its name, values in straight quotes; ``seen`` gives a value as it is meant."""
        return self.page[self.named[token] : self.begin[token] - 1]


def seen(text: str) -> str:
    """A piece of the page, be it text or the value of an attribute, with its own brackets and quotes."""
    return text.replace(LESS, "<").replace(GREATER, ">").replace(QUOTE, '"')


def inherited(parent: Array, values: Array, join: np.ufunc) -> Array:
    """What the values of each element and of all around it come to together.

    Args:
        parent: (elements,) itself for the outermost.
        values: (elements,)
        join: Of two values; neither their order nor how often one is given may matter.
    """
    found, above = values.copy(), parent
    while True:
        join(found, found[above], out=found)
        further = above[above]
        if (further == above).all():
            return np.asarray(join(found, values[above]))
        above = further


def read(pages: Sequence[str]) -> FlatTree | None:
    """The trees of serialised HTML as a parser writes it: every element closed, markup in text and values escaped.

    None where names of tags or attributes hold markup themselves (``<p<script``), so that no tree of a page comes out.
    """
    parts = [_prepared(html) for html in pages]
    codes, letters, starts = _meant("".join(parts), np.cumsum([0, *map(len, parts[:-1])]))
    page = codes.tobytes().decode("utf-32-le", "surrogatepass")
    opening, closing = _brackets(letters)
    tags, closes, named = _named(letters, opening)
    opens = ~closes & ~_IS_VOID[tags]
    closes &= ~_IS_VOID[tags]
    height = np.cumsum(opens.astype(np.int64) - closes)
    begins = np.searchsorted(opening, starts)
    whole = begins[-1] < len(opening) and (opening[begins] == starts).all() and not height[begins[1:] - 1].any()
    if not whole or height[-1] or height.min() < 0:
        return None
    start, end, parent, depth, home = _elements(opens, closes, height)
    begin, stop = closing + 1, np.append(opening[1:], len(codes))
    out = _IS_SKIPPED[tags[start]]
    pin = (tags[start] == TAG["a"]) & (end == start + 1) & (stop[start] - begin[start] <= _MAX_PIN)
    for element in np.flatnonzero(pin & _MAY_BEGIN_PIN.take(codes[begin[start]], mode="clip")).tolist():
        out[element] = page[begin[start[element]] : stop[start[element]]].strip() in _PINS
    step = np.zeros(len(tags) + 1, np.int32)
    step[start[out]] += 1
    step[end[out]] -= 1
    return FlatTree(
        page=page,
        begins=begins,
        codes=codes,
        tags=tags,
        opens=opens,
        breaks=_BREAKS[tags],
        named=named,
        begin=begin,
        stop=stop,
        skipped=np.cumsum(step)[:-1] > 0,
        home=home,
        start=start,
        end=end,
        parent=parent,
        depth=depth,
    )


def _prepared(html: str) -> str:
    """A page from its first tag on, without what is neither tag nor text."""
    page = _NO_TAG.sub(_plain, html[max(html.find("<html"), 0) :])
    for taken in (LESS, GREATER, QUOTE):
        if taken in page:
            page = page.replace(taken, "")
    first = page.find("<")
    return page[first:] if first >= 0 and ">" in page else "<body></body>"


def _plain(match: re.Match[str]) -> str:
    return f"<pre>{escape(match[2], quote=False)}</pre>" if match[1] == "xmp" else ""


def _meant(page: str, starts: Array) -> tuple[Array, Array, Array]:
    """Characters of pages with entities as what they stand for, their letters, and where each page begins among them.

    Args:
        page: All pages, one after the other.
        starts: (pages,) where each begins.
    """
    codes = np.frombuffer(page.encode("utf-32-le", "surrogatepass"), np.uint32)
    letters = np.minimum(codes, _NO_LETTER).astype(np.uint8)
    (marks,) = np.nonzero(letters == ord("&"))
    words = np.ndarray((len(letters),), "<u8", np.append(letters, np.zeros(8, np.uint8)), strides=(1,))[marks]
    meant, gone = np.full(len(marks), ord("&"), np.uint32), np.zeros(len(marks), np.int64)  # characters behind each
    for entity, character in _ENTITIES.items():
        mask = np.uint64((1 << 8 * len(entity)) - 1)
        found = words & mask == int.from_bytes(entity.encode(), "little")
        meant[found], gone[found] = ord(character), len(entity) - 1
    kept = np.ones(len(codes), bool)
    for place in range(1, max(map(len, _ENTITIES))):
        kept[marks[gone >= place] + place] = False
    codes, letters = codes[kept], letters[kept]
    before = np.append(0, np.cumsum(gone))
    places = marks - before[:-1]
    codes[places], letters[places] = meant, np.minimum(meant, _NO_LETTER)
    return codes, letters, starts - before[np.searchsorted(marks, starts)]


def _brackets(letters: Array) -> tuple[Array, Array]:
    """Where each tag begins and ends; a name may hold ``<``, which then begins none."""
    (marks,) = np.nonzero(letters | 2 == ord(">"))  # both: they differ in that bit
    begins = letters[marks] == ord("<")
    after_end = np.ones(len(marks), bool)
    after_end[1:] = ~begins[:-1]
    opening, closing = marks[begins & after_end], marks[~begins & ~after_end]
    return opening[: len(closing)], closing


def _named(letters: Array, opening: Array) -> tuple[Array, Array, Array]:
    """By token: the tag as an index into NAMES, whether it closes, and where its name ends."""
    closes = letters[opening + 1] == ord("/")
    begin = opening + 1 + closes
    padded = np.append(letters, np.full(_LONGEST_NAME + 1, ord(">"), np.uint8))
    names = np.zeros((len(begin), _WINDOW), np.uint8)
    inside, length = np.ones(len(begin), bool), np.zeros(len(begin), np.int64)
    for place in range(_LONGEST_NAME + 1):  # one letter of all names after the other: rows this short are slow
        letter = padded[begin + place]
        inside &= (letter != ord(" ")) & (letter != ord(">"))
        names[:, place] = letter * inside
        length += inside
    numbers = _as_numbers(names)
    at = np.minimum(np.searchsorted(_NUMBERS, numbers), len(_NUMBERS) - 1)
    return np.where(_NUMBERS[at] == numbers, _TAGS[at], TAG["unknown"]), closes, begin + length


def _elements(opens: Array, closes: Array, height: Array) -> tuple[Array, Array, Array, Array, Array]:
    """start, end, parent and depth of every element, and the element in which each token's text lies.

    ``height`` is the number of elements that are open behind each token.
    """
    tokens = len(opens)
    level = height + closes  # of the element that the token opens or closes
    (marks,) = np.nonzero(opens | closes)
    # Sorted by level, then place: each element's end follows its start.
    ordered = marks[np.argsort(level[marks], kind="stable")]
    starts, ends = ordered[0::2], ordered[1::2]
    place = np.argsort(starts, kind="stable")
    start, end = starts[place], ends[place]
    # An element of a level is the last one of that level that opened before: found by bisection in (level, place).
    keys = level[starts] * (tokens + 1) + starts
    number = np.empty(len(place), np.int64)
    number[place] = np.arange(len(place))  # from the order of keys to that of the page
    above = np.searchsorted(keys, (level[start] - 1) * (tokens + 1) + start, "right") - 1
    parent = np.where(level[start] > 1, number[above], np.arange(len(start)))
    inside = np.searchsorted(keys, height * (tokens + 1) + np.arange(tokens), "right") - 1
    return start, end, parent, level[start], number[inside]
