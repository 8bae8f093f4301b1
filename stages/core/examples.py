"""What is learned from a row of the user's data, in token ids: made of text in one room, trained on in another."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from stages.core.shards import Metrics

IGNORED = -100
"""Label of a token at which nothing is to be learned."""


class Example(NamedTuple):
    """A row in token ids."""

    source: str
    """Where it comes from: file and row."""
    ids: Sequence[int]
    """What the model reads."""
    labels: Sequence[int] = ()
    """For each id, what is to be learned there: the id that follows, the number of its tag, or ``IGNORED``; empty where
    it is the whole row that has a label."""
    value: float = 0.0
    """Of the whole row: the number of its class, or its score."""
    cut: bool = False
    """Whether the row was longer."""


Redraw = Callable[[int, int], Example]
"""The row of that number as it stands at that position of a run, see :class:`stages.training.data.Data`."""


class Material(NamedTuple):
    """What there is to learn from, whatever is learned of it."""

    learned: Sequence[Example]
    tested: Sequence[Example]
    """To be measured on, and not learned from."""
    counts: Metrics
    """``in``, ``out``, ``dropped`` and, where rows can be cut, ``cut`` of what is learned from, and what else is worth
    knowing."""
    paths: tuple[Path, ...]
    """The files that it is made of."""
    names: tuple[str, ...] = ()
    """Of classes or tags, by number; none where there are no such."""
    redraw: Redraw | None = None
    """Gives what is learned from as it stands at a position of the run, where it changes."""
