"""Which blocks of pages are their main text, and that text."""

from typing import Any

import numpy as np

from stages.web.pages import block_model, features, leafing
from stages.web.pages.blocks import Blocks
from stages.web.pages.structure import written

Array = np.ndarray[Any, Any]


def main_texts(blocks: Blocks) -> tuple[list[str], list[float]]:
    """Of every page that has text the main text, Markdown-like, and the word-level F1 to be expected of it."""
    kept, expected = chosen(blocks, chances(blocks, block_model.load()))
    return written(blocks, kept), expected.tolist()


def chances(blocks: Blocks, model: block_model.Model) -> Array:
    """Of each block to be main text, in millionths."""
    seen = features.columns(blocks, model.wanted) | model.lexicon.columns(blocks.places)
    return model.chances(features.table(seen, model.names, len(blocks.first)), blocks.pages)


def chosen(blocks: Blocks, chances: Array) -> tuple[Array, Array]:
    """The set of blocks of each page of which the highest word-level F1 is to be expected, and that F1, 0-1.

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
    best = pages.best(score)
    kept[order] = np.arange(len(weight)) <= pages.spread(best)
    return kept & ~leafing.found(blocks), 2 * score[best]
