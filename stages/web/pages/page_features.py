"""What tells a page from others, and a block's rank and place in its page."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from stages.web.pages import hints
from stages.web.pages.blocks import STOP, Blocks
from stages.web.pages.flat_tree import FlatTree
from stages.web.pages.segments import Segments
from stages.web.pages.tags import TAG

Array = np.ndarray[Any, Any]
Columns = dict[str, Any]

_CONTENT = re.compile(r'\scontent="([^"]*)"')


def standing(blocks: Blocks, prose: Array, overlap: Array) -> Columns:
    """The page as a whole, and the block's rank and place in it."""
    pages, size, place, count = blocks.pages, blocks.size, blocks.pages.place, blocks.pages.count
    totals, largest = pages.sum(size), pages.max(size)
    total = pages.spread(totals)
    ranks = np.empty(len(size), np.int64)
    ranks[pages.order(-size)] = place
    tag = blocks.tree.tags[blocks.tree.start[blocks.box]]
    heading, main = (tag >= TAG["h1"]) & (tag <= TAG["h6"]), tag == TAG["h1"]
    mains = pages.sum(main)
    whole = {
        "page_blocks": pages.counts,
        "page_size": totals,
        "page_link_share": pages.sum(blocks.linked) / totals,
        "page_prose_share": pages.sum(prose) / totals,
        "page_stops": pages.sum(blocks.counts[:, STOP]) / pages.counts,
        "page_largest": largest,
        "page_largest_prose": pages.max(prose),
        "h1_count": mains,
    }
    first_main = np.where(mains, pages.best(main) - pages.starts, -1)
    return {
        **{name: pages.spread(column) for name, column in whole.items()},
        "size_of_largest": size / pages.spread(largest),
        "size_of_mean": size * count / total,
        "rank": ranks,
        "rank_share": ranks / count,
        "place": place,
        "place_share": place / count,
        "text_before": (pages.running(size) - size) / total,
        "from_end": count - 1 - place,
        "since_heading": _since(pages, heading),
        "since_first_h1": place - pages.spread(first_main),
        "since_last_h1": place - pages.spread(_last(pages, main)),
        "copies": _copies(blocks),
        "title_overlap": overlap,
        "since_title": place - pages.spread(_last(pages, overlap > 0.5)),
    }


def _since(pages: Segments, mark: Array) -> Array:
    """Blocks since the last one that is marked, or since the page began."""
    place = np.arange(pages.size)
    last = np.where(mark, place, -1)
    last[pages.starts] = np.where(mark[pages.starts], pages.starts, pages.starts - 1)
    return place - np.maximum.accumulate(last)


def _last(pages: Segments, mark: Array) -> Array:
    """(pages,) place in its page of the last block that is marked, or -1."""
    return pages.max(np.where(mark, pages.place, -1))


def _copies(blocks: Blocks) -> Array:
    """How many blocks of its page have a block's text."""
    copies: list[int] = []
    for texts in _by_page(blocks):
        count = Counter(texts)
        copies += [count[text] for text in texts]
    return np.array(copies)


def _by_page(blocks: Blocks) -> Iterator[list[str]]:
    """Texts of the blocks of each page with text."""
    for start, end in zip(blocks.pages.starts.tolist(), blocks.pages.ends.tolist(), strict=True):
        yield blocks.texts[start:end]


def title_overlap(blocks: Blocks) -> Array:
    """Share of the page's title that a block's text is, where it is part of it; 0-1."""
    tree = blocks.tree
    overlaps: list[float] = []
    (tokens,) = np.nonzero(tree.opens & (tree.tags == TAG["title"]))
    firsts = np.searchsorted(tokens, tree.begins[blocks.told]).tolist()
    ends = np.append(tree.begins, len(tree.tags))[blocks.told + 1].tolist()
    for first, end, texts in zip(firsts, ends, _by_page(blocks), strict=True):
        title = " ".join(tree.text(tokens[first]).split()) if first < len(tokens) and tokens[first] < end else ""
        overlaps += [len(text) / len(title) if len(text) > 2 and text in title else 0.0 for text in texts]
    return np.array(overlaps)


def stated_types(tree: FlatTree) -> Array:
    """(pages,) hints in the type that a page states for those who link to it (Open Graph); the first counts."""
    stated = np.zeros(len(tree.begins), np.int64)
    tokens = np.flatnonzero(tree.tags == TAG["meta"])
    pages = np.searchsorted(tree.begins, tokens, "right") - 1
    for attributes, page in zip(tree.attributes_of(tokens[::-1]), pages[::-1].tolist(), strict=True):
        if '"og:type"' in attributes and (content := _CONTENT.search(attributes)):
            stated[page] = hints.read(f' class="{content[1]}"'.encode())[0]
    return stated
