"""What is learned from a row of the user's data, in token ids: made of text in one room, trained on in another."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

IGNORED = -100
"""Label of a token at which nothing is to be learned."""


class Example(NamedTuple):
    """A row in token ids."""

    source: str
    """Where it comes from: file and row."""
    ids: Sequence[int]
    """What the model reads."""
    labels: Sequence[int] = ()
    """For each id, what is to be learned there: the id itself, the number of its tag, or ``IGNORED``; empty where it is
    the whole row that has a label."""
    value: float = 0.0
    """Of the whole row: the number of its class, or its score."""
    cut: bool = False
    """Whether the row was longer."""


Redraw = Callable[[int, int], Example]
"""The row of that number as it stands at that position of a run, see :class:`stages.training.data.Data`."""
