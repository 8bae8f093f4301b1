"""Trees of pages as flat arrays: tags in the order of the page, the text behind each, parents and ends by position.

The parser's own serialisation is well formed and escapes every bracket that is no tag's, so all tags are found at once
from the places of the brackets, and what a walk of the tree would find out node by node comes out of sorted arrays.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from stages.web.pages.segments import Segments
from stages.web.pages.tags import BREAKS, IS_SKIPPED, IS_VOID, TAG, WINDOW, tags_at

Array = np.ndarray[Any, Any]

# What there is besides tags and text: comments, declarations, processing instructions, and elements in whose text
# nothing is escaped.
_NO_TAG = re.compile(
    r"<!--.*?-->|<[!?][^>]*>|<(script|style|xmp|iframe|noembed|noframes|plaintext)(?=[\s>])[^>]*>(.*?)</\1>", re.DOTALL
)
# All that the parser escapes; the last is read last, so that what it gives begins no other.
_ENTITIES = {"&nbsp;": "\xa0", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&amp;": "&"}

# The text of links by which a heading's address is copied, as Sphinx, Docusaurus and others write it.
_PINS = frozenset("¶#§🔗⚓")
_MAX_PIN = 32  # bytes, with white space
_MAY_BEGIN_PIN = np.array([byte >= 0x80 or chr(byte).isspace() or chr(byte) in "#&" for byte in range(256)])

_IS_BLANK = np.array([bytes([byte]).isspace() for byte in range(256)])


@dataclass(frozen=True)
class FlatTree:
    """Tags of one or more pages, and the text that follows each of them.

    Tokens are the tags, opening and closing; elements are the tags that open, void ones left out.
    """

    page: bytes  # all pages, one after the other, and a few `<` behind the last
    letters: Array  # (bytes,) the same as uint8
    begins: Array  # (pages,) first token of each
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
        return seen(self.page[self.begin[token] : self.stop[token]].decode())

    def blank(self, tokens: Array) -> Array:
        """(tokens,) whether the text behind each, of a byte or more, is nothing but white space: most are."""
        begin, stop = self.begin[tokens], self.stop[tokens]
        blank = _IS_BLANK[self.letters[begin]] & _IS_BLANK[self.letters[stop - 1]]
        (unsure,) = np.nonzero(blank & (stop - begin > 2))
        blank[unsure] = [piece.isspace() for piece in self._pieces(tokens[unsure])]
        return blank

    def texts(self, tokens: Array) -> tuple[Array, Array]:
        """The texts behind some tags, each with what ends it.

        Returns:
            Their characters, uint32, with a 0 behind each text, and the places of those.
        """
        page = b"".join([piece + b"\0" for piece in self._pieces(tokens)])
        codes = np.frombuffer(seen(page.decode()).encode("utf-32-le"), np.uint32)
        return codes, np.flatnonzero(codes == 0)

    def _pieces(self, tokens: Array) -> Iterator[bytes]:
        """The texts behind some tags as they stand in the page."""
        edges = zip(self.begin[tokens].tolist(), self.stop[tokens].tolist(), strict=True)
        return (self.page[low:high] for low, high in edges)

    def attributes(self, token: int) -> str:
        """What stands in a tag behind its name, values in straight quotes; ``seen`` gives a value as it is meant."""
        return _stated(self.page[self.named[token] : self.begin[token] - 1])

    def attributes_of(self, tokens: Sequence[int] | Array) -> Iterator[str]:
        """The attributes of many tags; asked for one by one they take longer."""
        edges = zip(self.named[tokens].tolist(), (self.begin[tokens] - 1).tolist(), strict=True)
        return (_stated(self.page[low:high]) for low, high in edges)


def _stated(attributes: bytes) -> str:
    """Where a tag's name is longer than is looked at, they may begin within a letter of it."""
    return attributes.decode("utf-8", "ignore")


def seen(text: str) -> str:
    """A piece of the page, be it text or the value of an attribute, as it is meant."""
    if "&" in text:
        for entity, character in _ENTITIES.items():
            text = text.replace(entity, character)
    return text


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
    page = b"".join([*parts, b"<" * (WINDOW + 2)])
    letters = np.frombuffer(page, np.uint8)
    *starts, size = np.cumsum([0, *map(len, parts)]).tolist()
    opening, closing = _brackets(letters[:size])
    tags, closes, named = tags_at(letters, opening)
    opens = ~closes & ~IS_VOID[tags]
    closes &= ~IS_VOID[tags]
    height = np.cumsum(opens.astype(np.int64) - closes)
    begins = np.searchsorted(opening, starts)
    whole = begins[-1] < len(opening) and (opening[begins] == starts).all() and not height[begins[1:] - 1].any()
    if not whole or height[-1] or height.min() < 0:
        return None
    start, end, parent, depth, home = _elements(opens, closes, height)
    begin, stop = closing + 1, np.append(opening[1:], size)
    out = IS_SKIPPED[tags[start]]
    pin = (tags[start] == TAG["a"]) & (end == start + 1) & (stop[start] - begin[start] <= _MAX_PIN)
    for element in np.flatnonzero(pin & _MAY_BEGIN_PIN[letters[begin[start]]]).tolist():
        out[element] = seen(page[begin[start[element]] : stop[start[element]]].decode()).strip() in _PINS
    step = np.zeros(len(tags) + 1, np.int32)
    step[start[out]] += 1
    step[end[out]] -= 1
    return FlatTree(
        page=page,
        letters=letters,
        begins=begins,
        tags=tags,
        opens=opens,
        breaks=BREAKS[tags],
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


def _prepared(html: str) -> bytes:
    """A page from its first tag on, without what is neither tag nor text."""
    page = _NO_TAG.sub(_plain, html[max(html.find("<html"), 0) :]).encode("utf-8", "replace").replace(b"\0", b"")
    first = page.find(b"<")
    return page[first:] if first >= 0 and b">" in page else b"<body></body>"


def _plain(match: re.Match[str]) -> str:
    return f"<pre>{escape(match[2], quote=False)}</pre>" if match[1] == "xmp" else ""


def _brackets(letters: Array) -> tuple[Array, Array]:
    """Where each tag begins and ends; a name may hold ``<``, which then begins none."""
    (marks,) = np.nonzero(letters | 2 == ord(">"))  # both: they differ in that bit
    begins = letters[marks] == ord("<")
    after_end = np.ones(len(marks), bool)
    after_end[1:] = ~begins[:-1]
    opening, closing = marks[begins & after_end], marks[~begins & ~after_end]
    return opening[: len(closing)], closing


def _elements(opens: Array, closes: Array, height: Array) -> tuple[Array, Array, Array, Array, Array]:
    """start, end, parent and depth of every element, and the element in which each token's text lies.

    ``height`` is the number of elements that are open behind each token.
    """
    tokens = len(opens)
    level = height + closes  # of the element that the token opens or closes
    (marks,) = np.nonzero(opens | closes)
    # Sorted by level, then place: each element's end follows its start.
    levels = level[marks]
    ordered = marks[np.argsort(levels.astype(np.uint16) if height.max() < 1 << 16 else levels, kind="stable")]
    starts, ends = ordered[0::2], ordered[1::2]
    count = np.cumsum(opens)
    number = count[starts] - 1  # from the order by level to that of the page
    start, end = np.flatnonzero(opens), np.empty(len(starts), np.int64)
    end[number] = ends
    # An element of a level is the last one of that level that opened before: found by bisection in (level, place).
    depth = level[start]
    above = np.searchsorted(level[starts] * (tokens + 1) + starts, (depth - 1) * (tokens + 1) + start, "right") - 1
    parent = np.where(depth > 1, number[above], np.arange(len(start)))
    # Behind a tag text lies in what the tag opened, or around what it closed; a void one changes nothing.
    home = np.zeros(tokens, np.int64)
    home[start], home[end] = np.arange(len(start)), parent
    changed = opens | closes
    return start, end, parent, depth, home[np.maximum.accumulate(np.where(changed, np.arange(tokens), 0))]
