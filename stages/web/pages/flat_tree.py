"""A page's tree as flat arrays: tags in the order of the page, the text behind each, parents and ends by position.

The parser's own serialisation is well formed, so one pattern cuts it into tags and text, and what a walk of the tree
would find out node by node comes out of sorted arrays.
"""

import re
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from stages.web.pages import hints

Array = np.ndarray[Any, Any]

_TAG = re.compile(r"<(/?[^\s/>]+)([^>]*)>([^<]*)")
# What else there is: comments, declarations, processing instructions, and elements in whose text nothing is escaped.
_NO_TAG = re.compile(
    r"<!--.*?-->|<[!?][^>]*>|<(script|style|xmp|iframe|noembed|noframes|plaintext)(?=[\s>])[^>]*>(.*?)</\1>", re.DOTALL
)


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

NAMES = [*_BLOCK, *_INLINE, *_VOID_INLINE, *_VOID_BLOCK, *_OTHER_VOID, *_SKIPPED]
TAG = {name: number for number, name in enumerate(NAMES)}
_BREAKS = np.array([name in _BLOCK or name in _VOID_BLOCK or name in _SKIPPED for name in NAMES])
_IS_VOID = np.array([name in _VOID_INLINE or name in _VOID_BLOCK or name in _OTHER_VOID for name in NAMES])
_IS_SKIPPED = np.array([name in _SKIPPED for name in NAMES])
# Without a hint a tag's attributes are not looked at: links and pictures have long ones that are all different.
_UNHINTED = np.array([name in ("a", "img", "input", "meta", "link", "br", "hr", "source") for name in NAMES])


@dataclass(frozen=True)
class FlatTree:
    """Tags of a page, and the text that follows each of them.

    Tokens are the tags, opening and closing; elements are the tags that open, void ones left out.
    """

    tags: Array  # (tokens,) index into NAMES
    opens: Array  # (tokens,) whether the token opens an element; false for void ones
    voids: Array  # (tokens,)
    breaks: Array  # (tokens,) whether text before and after belongs to different blocks
    texts: list[str]  # (tokens,) as in the page, entities resolved
    skipped: Array  # (tokens,) whether the text behind the token is no text of the page
    home: Array  # (tokens,) the element in which that text lies
    start: Array  # (elements,) token that opens it
    end: Array  # (elements,) token that closes it
    parent: Array  # (elements,) itself for the outermost
    depth: Array  # (elements,) from 1
    hints: Array  # (elements,) bits of stages.web.pages.hints
    names: Array  # (elements,) equal numbers for equal class names
    attributes: list[str]  # (tokens,)


def read(html: str) -> FlatTree | None:
    """The tree of serialised HTML as a parser writes it: every element closed, markup in text escaped.

    None where names of tags or attributes hold markup themselves (``<p<script>``), so that no tree comes out.
    """
    html = html[max(html.find("<html"), 0) :]
    found = _TAG.findall(_NO_TAG.sub(_plain, html))
    if not found:
        found = [("body", "", ""), ("/body", "", "")]
    raw_names, attributes, texts = map(list, zip(*found, strict=True))
    tags = np.array([_KINDS[name] for name in raw_names], np.int64)
    closing = tags < 0
    tags = np.where(closing, ~tags, tags)
    voids = _IS_VOID[tags]
    opens, closes = ~closing & ~voids, closing & ~voids
    height = np.cumsum(opens.astype(np.int64) - closes)
    if height[-1] or height.min() < 0:
        return None
    start, end, parent, depth, home = _elements(opens, closes, height)
    hinted = [hints.read(attributes[token]) for token in start[~_UNHINTED[tags[start]]].tolist()]
    bits, names = np.zeros((2, len(start)), np.int64)
    bits[~_UNHINTED[tags[start]]], names[~_UNHINTED[tags[start]]] = np.array(hinted, np.int64).reshape(-1, 2).T
    bits[tags[start] <= TAG["body"]] = 0  # what the whole page is called tells nothing about its parts
    step = np.zeros(len(tags) + 1, np.int32)
    out = _IS_SKIPPED[tags[start]]
    (plain_links,) = np.nonzero((tags[start] == TAG["a"]) & (end == start + 1))
    out[[number for number in plain_links.tolist() if texts[start[number]].strip() in _PINS]] = True
    step[start[out]] += 1
    step[end[out]] -= 1
    return FlatTree(
        tags=tags,
        opens=opens,
        voids=voids,
        breaks=_BREAKS[tags],
        texts=_unescaped(texts),
        skipped=np.cumsum(step)[:-1] > 0,
        home=home,
        start=start,
        end=end,
        parent=parent,
        depth=depth,
        hints=bits,
        names=names,
        attributes=attributes,
    )


def _plain(match: re.Match[str]) -> str:
    return f"<pre>{escape(match[2], quote=False)}</pre>" if match[1] == "xmp" else ""


class _Kinds(dict[str, int]):
    """From a tag as it is written to its number in NAMES; the complement of it for a tag that closes."""

    def __missing__(self, name: str) -> int:
        return ~TAG["unknown"] if name[0] == "/" else TAG["unknown"]


_KINDS = _Kinds({**TAG, **{"/" + name: ~number for name, number in TAG.items()}})


def _unescaped(texts: list[str]) -> list[str]:
    joined = "\0".join(texts)
    for entity, character in (("&nbsp;", "\xa0"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        joined = joined.replace(entity, character)
    return joined.split("\0")


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
