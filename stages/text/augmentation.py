"""Texts told a little differently each time they are learned from: words deleted, swapped, inserted or replaced.

After Wei and Zou (EDA, arXiv 1901.11196). Words that come in are drawn from the texts themselves, each as often as it
stands there (Xie et al., arXiv 1703.02573), where EDA asks a thesaurus of English.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stages.core import order
from stages.core.params import LesserShare, Share, params


class Labelled(NamedTuple):
    """A text in words, with what is to be learned of it."""

    source: str
    """File and row."""
    where: str
    """The same for errors."""
    words: tuple[str, ...]
    """Spaces between them make the text; a text that is learned as a whole is one word until it is augmented."""
    labels: tuple[str, ...] = ()
    """The class of the text, or a tag for each word; none for a number."""
    value: float = 0.0
    """The number of a text."""


@params
class Augmentation:
    """How often words of a row are changed while it is learned from; those that are measured on stay as they are.

    Labels are kept. Of words with tags, only those outside every entity change."""

    rows: Share
    """Share of the rows that are changed each time; 0 changes none."""
    delete: LesserShare
    """Share of the words that are left out; one always stays."""
    swap: LesserShare
    """Share of the words that change places with another."""
    insert: LesserShare
    """New words, as a share of the words, each before a word drawn at random."""
    replace: LesserShare
    """Share of the words for which another one is put."""


OUTSIDE = "O"
"""The tag of a word that belongs to no entity."""


class _Word(NamedTuple):
    text: str
    tag: str
    free: bool
    """Whether it may change."""


class Augmented:
    """Rows that change from one time to the next.

    Args:
        rows: As they were read.
        settings: What changes.
        seed: Of what is drawn for a row, together with its position in the run.
        tagged: Whether each word has a label, and not the text.
    """

    def __init__(self, rows: Sequence[Labelled], settings: Augmentation, seed: int, *, tagged: bool) -> None:
        self.rows, self.settings, self.seed, self.tagged = rows, settings, seed, tagged
        self._words = [word.text for row in rows for word in self._split(row) if word.free] if settings.rows else []

    def __call__(self, index: int, position: int) -> Labelled:
        """The row of that number as it stands at that position of a run; as it was read at a negative one."""
        row = self.rows[index]
        draw = np.random.Generator(np.random.PCG64(order.mixed(self.seed, position)))
        if position < 0 or draw.random() >= self.settings.rows:
            return row
        words = self._changed(self._split(row), draw)
        labels = tuple(word.tag for word in words) if self.tagged else row.labels
        return row._replace(words=tuple(word.text for word in words), labels=labels)

    def _split(self, row: Labelled) -> list[_Word]:
        if self.tagged:
            return [_Word(word, tag, tag == OUTSIDE) for word, tag in zip(row.words, row.labels, strict=True)]
        return [_Word(word, "", free=True) for text in row.words for word in text.split()]

    def _changed(self, words: list[_Word], draw: np.random.Generator) -> list[_Word]:
        free = [place for place, word in enumerate(words) if word.free]
        if not free:
            return words
        hit = {name: self._places(free, share, draw) for name, share in self._shares()}
        for place in hit["replace"]:
            words[place] = self._another(draw)
        for place in hit["swap"]:
            other = free[int(draw.integers(len(free)))]
            words[place], words[other] = words[other], words[place]
        gone = set(hit["delete"]) if len(hit["delete"]) < len(words) else set(hit["delete"][1:])
        found: list[_Word] = []
        for place, word in enumerate(words):
            found += [self._another(draw)] * (place in hit["insert"])
            found += [word] * (place not in gone)
        return found

    def _shares(self) -> list[tuple[str, float]]:
        return [(name, getattr(self.settings, name)) for name in ("delete", "swap", "insert", "replace")]

    def _places(self, free: Sequence[int], share: float, draw: np.random.Generator) -> list[int]:
        return [place for place, hit in zip(free, draw.random(len(free)) < share, strict=True) if hit]

    def _another(self, draw: np.random.Generator) -> _Word:
        return _Word(self._words[int(draw.integers(len(self._words)))], OUTSIDE, free=True)
