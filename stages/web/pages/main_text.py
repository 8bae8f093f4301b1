"""Which blocks of pages are their main text, and that text."""

from typing import Any

import numpy as np

from stages.web.pages import block_model, features, leafing, regions
from stages.web.pages.blocks import Blocks
from stages.web.pages.structure import written

Array = np.ndarray[Any, Any]


def main_texts(blocks: Blocks) -> list[str]:
    """The main text of every page that has text, Markdown-like."""
    return written(blocks, chosen(blocks, chances(blocks, block_model.load())))


def chances(blocks: Blocks, model: block_model.Model) -> Array:
    """Of each block to be main text, in millionths: a first look at every block, and a second that knows all of it."""
    around, count = regions.around(blocks), len(blocks.first)
    seen = features.first_look(blocks, around, model.wanted)
    first = model.first.chances(features.table(seen, model.first.names, count))
    again = seen | features.second_look(blocks, around, first)
    return model.second.chances(features.table(again, model.second.names, count))


def chosen(blocks: Blocks, chances: Array) -> Array:
    """The set of blocks of each page of which the highest word-level F1 is to be expected.

    Taken by falling probability, a set of weight K that is expected to hold R of all W wanted words has an F1 of
    2 R / (K + W) (Ye et al., Optimizing F-measure, ICML 2012): so a page on which nothing is sure still gives its
    likeliest text, and one on which all is likely is given whole. Links for leafing are none of it.
    """
    weight = np.round(blocks.words * 10).astype(np.int64) + 1
    pages = blocks.pages
    order = pages.order(-chances)
    right = pages.running((weight * chances)[order])
    score = right / (pages.running(weight[order]) * 1_000_000 + pages.spread(right[pages.ends - 1]))
    kept = np.zeros(len(weight), bool)
    kept[order] = np.arange(len(weight)) <= pages.spread(pages.best(score))
    return kept & ~leafing.found(blocks)
