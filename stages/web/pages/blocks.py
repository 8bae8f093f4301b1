"""The text blocks of pages: runs of text that no block-level tag or line break interrupts, and their counts."""

import functools
import unicodedata
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from stages.web.pages import flat_tree, hints
from stages.web.pages.flat_tree import FlatTree
from stages.web.pages.segments import Segments
from stages.web.pages.tags import TAG

Array = np.ndarray[Any, Any]

# Kinds of characters, the same in every script.
LETTER, UPPER, DIGIT, IDEOGRAPH, SPACE, STOP, PAUSE, MARK, SYMBOL = range(9)
_STOPS = ".!?…。！？｡։؟۔।॥‽;" + "\u037e"
_PAUSES = ",:、，；：،؛·\u0387"

# By character up to the last that is white space, and for all beyond: whether it is none, to Python's own str.split.
_SEEN = np.array([not chr(code).isspace() for code in range(0x3002)])


@dataclass(frozen=True)
class Places:
    """Where names stand in pages."""

    parent: Array  # (elements,)
    home: Array  # (blocks,) innermost element around each
    elements: Array  # (named,) elements that have names
    names: list[tuple[str, ...]]  # (named,) of each


@dataclass(frozen=True)
class Blocks:
    """Blocks of one or more pages in their order; lengths are in characters, an ideograph counting as three.

    An English text has about three times the characters of the same text in Chinese or Japanese.
    """

    tree: FlatTree
    told: Array  # (pages with text,) numbers of the tree's pages that have any
    pages: Segments  # the blocks of each of those
    hints: Array  # (elements,) bits of stages.web.pages.hints
    classes: Array  # (elements,) equal numbers for equal class names
    places: Places  # those of html and body left out
    texts: list[str]  # (blocks,) white space collapsed
    first: Array  # (blocks,) first token of the block
    last: Array  # (blocks,) token behind the block's last
    before: Array  # (tokens + 1,) blocks that begin before each token, and all there are
    home: Array  # (blocks,) innermost element that holds the first text of the block
    box: Array  # (blocks,) innermost block-level element
    counts: Array  # (blocks, 9) characters of each kind
    size: Array  # (blocks,)
    words: Array  # (blocks,) words; six tenths for an ideograph
    linked: Array  # (blocks,) length of the text in links
    links: Array  # (blocks,) links that begin in it
    strong: Array  # (blocks,) length of the text set bold
    runs: Array  # (blocks,) pieces of text between tags
    ends_with: Array  # (blocks,) kind of its last character
    begins_with: Array  # (blocks,)


def read(html: str) -> Blocks | None:
    """The blocks of a page as its parser serialises it; None where it has no text, or no tree comes out."""
    tree = flat_tree.read([html])
    return split(tree) if tree else None


def split(tree: FlatTree) -> Blocks | None:
    """The blocks of all pages of a tree; None where none has text."""
    (there,) = np.nonzero((tree.stop > tree.begin) & ~tree.skipped)
    filled = np.flatnonzero(~tree.blank(there))
    if not len(filled):
        return None
    kept, spaced = there[filled], np.append(np.diff(filled) > 1, False)
    codes, ends = tree.texts(kept)
    counts, words, begins_with, ends_with = _counted(codes, ends)
    said = counts.sum(1) > counts[:, SPACE]
    if not said.any():
        return None
    number = np.cumsum(tree.breaks)
    tokens = kept[said]
    texts = _texts(codes, ends, number[kept], spaced, said)
    counts = counts[said]
    size = counts.sum(1) + 2 * counts[:, IDEOGRAPH]
    in_link, in_strong, opened = _marked(tree)
    firsts = np.append(0, np.flatnonzero(np.diff(number[tokens])) + 1)
    lasts = np.append(firsts[1:], len(tokens)) - 1
    gather = functools.partial(np.add.reduceat, indices=firsts)
    first, last = tokens[firsts], tokens[lasts] + 1
    home = tree.home[first]
    told, starts = np.unique(np.searchsorted(tree.begins, first, "right") - 1, return_index=True)
    begins = np.zeros(len(number), bool)
    begins[first] = True
    before = np.append(0, np.cumsum(begins))
    bits, classes, places = _named(tree, before, home)
    return Blocks(
        tree=tree,
        told=told,
        pages=Segments(starts, len(first)),
        hints=bits,
        classes=classes,
        places=places,
        texts=texts,
        first=first,
        last=last,
        before=before,
        home=home,
        box=boxes(tree)[home],
        counts=gather(counts),
        size=gather(size),
        words=gather(10 * words[said] + 6 * counts[:, IDEOGRAPH]) / 10,
        linked=gather(np.where(in_link[tokens], size, 0)),
        links=opened[last] - opened[np.maximum(first, 1) - 1],
        strong=gather(np.where(in_strong[tokens], size, 0)),
        runs=lasts - firsts + 1,
        ends_with=ends_with[said][lasts],
        begins_with=begins_with[said][firsts],
    )


def _counted(codes: Array, ends: Array) -> tuple[Array, Array, Array, Array]:
    """Of some texts: characters of each kind, words, and kinds of the first and last that is no space.

    Spaces are passed over at the edges up to the third character.

    Args:
        codes: Characters of all texts, each text followed by a 0.
        ends: Places of those.
    """
    starts, last = np.append(0, ends[:-1] + 1), ends - 1
    kinds = _kinds().take(codes, mode="clip")
    text = np.repeat(np.arange(len(ends)) * 9, ends + 1 - starts)
    counts = np.bincount(text + kinds, minlength=9 * len(ends)).reshape(-1, 9)
    counts[:, SPACE] -= 1  # what ends the text
    letters = kinds <= DIGIT
    begins = letters.copy()
    begins[1:] &= ~letters[:-1]
    words = np.add.reduceat(begins, starts, dtype=np.int64)
    edges = []
    for edge, step in ((starts, 1), (last, -1)):
        for _ in range(2):
            nearer = np.clip(edge + step, starts, last)
            edge = np.where(kinds[edge] == SPACE, nearer, edge)
        edges.append(kinds[edge])
    return counts, words, edges[0], edges[1]


def _texts(codes: Array, ends: Array, block: Array, spaced: Array, said: Array) -> list[str]:
    """Text of the blocks that say anything, white space collapsed: that between two tags of the same block counts.

    Args:
        codes: Characters of all texts, each text followed by a 0.
        ends: Places of those.
        block: Number of the block of each text, ascending.
        spaced: Of each text, whether white space lies between it and the next.
        said: Of each text, whether it says anything.
    """
    ends_block = np.append(block[1:] != block[:-1], True)
    codes = codes.copy()
    codes[ends[~ends_block]] = ord(" ")
    codes = np.delete(codes, ends[~(spaced | ends_block)])
    seen = _SEEN.take(codes, mode="clip")
    kept = seen.copy()
    kept[1:] |= seen[:-1] & (codes[:-1] != 0)
    text = np.where(seen, codes, np.uint32(ord(" ")))[kept].tobytes().decode("utf-32-le")
    says = np.logical_or.reduceat(said, np.append(0, np.flatnonzero(ends_block)[:-1] + 1))
    return list(compress(text.replace(" \0", "\0").split("\0"), says.tolist()))


def _named(tree: FlatTree, before: Array, home: Array) -> tuple[Array, Array, Places]:
    """By element: hints and class, of those that are around a block and may have names that say something; the names.

    Args:
        tree: The page.
        before: (tokens + 1,) blocks that begin before each token.
        home: (blocks,) innermost element around each.
    """
    tags = tree.tags[tree.start]
    holds = before[tree.start] < before[tree.end]
    named = tree.begin[tree.start] - tree.named[tree.start] > 1
    # Links have long attributes that are all different.
    (elements,) = np.nonzero(holds & named & (tags != TAG["a"]))
    tokens, page = tree.start[elements], tree.page
    low = tree.named[tokens]
    high = np.minimum(tree.begin[tokens] - 1, low + hints.LOOKED_AT)
    said = [hints.read(page[at:end]) for at, end in zip(low.tolist(), high.tolist(), strict=True)]
    bits, classes = np.zeros((2, len(tags)), np.int64)
    bits[elements], classes[elements], names = zip(*said, strict=True) if said else ((), (), ())
    # What the whole page is called tells its type, and nothing about its parts.
    inner = tags[elements] > TAG["body"]
    return bits, classes, Places(tree.parent, home, elements[inner], list(compress(names, inner.tolist())))


def _marked(tree: FlatTree) -> tuple[Array, Array, Array]:
    """By token: whether its text lies in a link, is bold, and how many links have begun up to it."""
    tags = tree.tags[tree.start]
    bold = (tags == TAG["b"]) | (tags == TAG["strong"])
    link = tags == TAG["a"]
    tokens = len(tree.tags)
    inside = []
    for chosen in (link, bold):
        step = np.zeros(tokens + 1, np.int32)
        step[tree.start[chosen]] += 1  # each token opens or ends one element at most
        step[tree.end[chosen]] -= 1
        inside.append(np.cumsum(step)[:-1] > 0)
    opened = np.concatenate((np.cumsum(tree.opens & (tree.tags == TAG["a"])), [0]))
    opened[-1] = opened[-2]
    return inside[0], inside[1], opened


def boxes(tree: FlatTree) -> Array:
    """By element: itself, or the innermost block-level element around it."""
    box = np.where(tree.breaks[tree.start], np.arange(len(tree.start)), tree.parent)
    while (box[box] != box).any():
        box = box[box]
    return box


@functools.cache
def _kinds() -> Array:
    """Kind of every character of the first three planes; what lies beyond counts as the last one does."""
    table = np.full(0x30000, IDEOGRAPH, np.uint8)  # planes 2 and 3 are ideographs
    for code in range(0x20000):
        character = chr(code)
        category = unicodedata.category(character)
        if category in ("Lu", "Lt"):
            table[code] = UPPER
        elif category == "Lo" and _is_ideograph(code):
            table[code] = IDEOGRAPH
        elif category[0] in "LM":
            table[code] = LETTER
        elif category[0] == "N":
            table[code] = DIGIT
        elif category[0] == "P":
            table[code] = STOP if character in _STOPS else PAUSE if character in _PAUSES else MARK
        elif category[0] == "S":
            table[code] = SYMBOL
        else:
            table[code] = SPACE
    return table


def _is_ideograph(code: int) -> bool:
    """Scripts without spaces in which a character is a syllable or a word: Han, Kana, Bopomofo, Yi."""
    return 0x2E80 <= code < 0xA4D0 or 0xF900 <= code < 0xFB00 or 0xFF66 <= code < 0xFFA0 or 0x1B000 <= code < 0x1B170
