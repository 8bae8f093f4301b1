"""The text blocks of a page: runs of text that no block-level tag or line break interrupts, and their counts."""

import functools
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.web.pages import flat_tree
from stages.web.pages.flat_tree import TAG, FlatTree

Array = np.ndarray[Any, Any]

# Kinds of characters, the same in every script.
LETTER, UPPER, DIGIT, IDEOGRAPH, SPACE, STOP, PAUSE, MARK, SYMBOL = range(9)
_STOPS = ".!?…。！？｡։؟۔।॥‽;" + "\u037e"
_PAUSES = ",:、，；：،؛·\u0387"


@dataclass(frozen=True)
class Blocks:
    """Blocks of a page in its order; lengths are in characters, an ideograph counting as three.

    An English text has about three times the characters of the same text in Chinese or Japanese.
    """

    tree: FlatTree
    texts: list[str]  # (blocks,) white space collapsed
    first: Array  # (blocks,) first token of the block
    last: Array  # (blocks,) token behind the block's last
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
    tree = flat_tree.read(html)
    return _found(tree) if tree else None


def _found(tree: FlatTree) -> Blocks | None:
    kept = [i for i, (text, out) in enumerate(zip(tree.texts, tree.skipped.tolist(), strict=True)) if not out and text]
    number = np.cumsum(tree.breaks)
    tokens = np.array([i for i in kept if not tree.texts[i].isspace()], np.int64)
    if not len(tokens):
        return None
    joined = "\0".join([tree.texts[i] for i in tokens.tolist()])
    codes = np.frombuffer(joined.encode("utf-32-le", "replace"), np.uint32)
    kinds = _kinds()[np.minimum(codes, len(_kinds()) - 1)]
    # Counts by run, then by block; the separator counts as no kind.
    (cuts,) = np.nonzero(codes == 0)
    edges = np.concatenate(([0], cuts + 1))
    ends = np.concatenate((cuts, [len(codes)]))
    counts = np.empty((len(tokens), 9), np.int64)
    for kind in range(9):
        total = np.concatenate(([0], np.cumsum(kinds == kind)))
        counts[:, kind] = total[ends] - total[edges]
    is_word = (kinds <= DIGIT) & (codes != 0)
    begins = is_word.copy()
    begins[1:] &= ~is_word[:-1]
    total = np.concatenate(([0], np.cumsum(begins)))
    words = 10 * (total[ends] - total[edges]) + 6 * counts[:, IDEOGRAPH]
    size = counts.sum(1) + 2 * counts[:, IDEOGRAPH]
    in_link, in_strong, opened = _marked(tree)
    block = number[tokens]
    firsts = np.concatenate(([0], np.flatnonzero(np.diff(block)) + 1))
    lasts = np.concatenate((firsts[1:], [len(tokens)])) - 1
    gather = functools.partial(np.add.reduceat, indices=firsts)
    first, last = tokens[firsts], tokens[lasts] + 1
    home = tree.home[first]
    return Blocks(
        tree=tree,
        texts=_texts(tree, kept, number, number[first]),
        first=first,
        last=last,
        home=home,
        box=_boxes(tree)[home],
        counts=gather(counts),
        size=gather(size),
        words=gather(words) / 10,
        linked=gather(np.where(in_link[tokens], size, 0)),
        links=opened[last] - opened[np.maximum(first, 1) - 1],
        strong=gather(np.where(in_strong[tokens], size, 0)),
        runs=lasts - firsts + 1,
        ends_with=_edge_kinds(kinds, codes, ends[lasts], -1),
        begins_with=_edge_kinds(kinds, codes, edges[firsts], 1),
    )


def _texts(tree: FlatTree, kept: list[int], number: Array, wanted: Array) -> list[str]:
    """Text of the blocks, white space collapsed: that between two tags of the same block counts."""
    pieces: dict[int, list[str]] = {int(block): [] for block in wanted}
    blocks = number.tolist()
    for token in kept:
        if blocks[token] in pieces:
            pieces[blocks[token]].append(tree.texts[token])
    return [" ".join("".join(piece).split()) for piece in pieces.values()]


def _marked(tree: FlatTree) -> tuple[Array, Array, Array]:
    """By token: whether its text lies in a link, is bold, and how many links have begun up to it."""
    tags = tree.tags[tree.start]
    bold = (tags == TAG["b"]) | (tags == TAG["strong"])
    link = tags == TAG["a"]
    tokens = len(tree.tags)
    inside = []
    for chosen in (link, bold):
        step = np.zeros(tokens + 1, np.int32)
        np.add.at(step, tree.start[chosen], 1)
        np.add.at(step, tree.end[chosen], -1)
        inside.append(np.cumsum(step)[:-1] > 0)
    opened = np.concatenate((np.cumsum(tree.opens & (tree.tags == TAG["a"])), [0]))
    opened[-1] = opened[-2]
    return inside[0], inside[1], opened


def _boxes(tree: FlatTree) -> Array:
    """By element: itself, or the innermost block-level element around it."""
    box = np.where(tree.breaks[tree.start], np.arange(len(tree.start)), tree.parent)
    while (box[box] != box).any():
        box = box[box]
    return box


def _edge_kinds(kinds: Array, codes: Array, edge: Array, step: int) -> Array:
    """Kind of the first character from an edge on that is no space, among the first three."""
    at = edge - (step < 0)
    for _ in range(2):
        nearer = np.clip(at + step, 0, len(codes) - 1)
        at = np.where((kinds[at] == SPACE) & (codes[nearer] != 0), nearer, at)
    return kinds[at]


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
    table[0] = 255
    return table


def _is_ideograph(code: int) -> bool:
    """Scripts without spaces in which a character is a syllable or a word: Han, Kana, Bopomofo, Yi."""
    return 0x2E80 <= code < 0xA4D0 or 0xF900 <= code < 0xFB00 or 0xFF66 <= code < 0xFFA0 or 0x1B000 <= code < 0x1B170
