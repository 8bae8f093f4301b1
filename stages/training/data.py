"""What training data are: rows by number, held-out rows among them."""

from typing import NamedTuple, Protocol

import numpy as np

from stages.training import order
from stages.training.order import Integers

_HELD_OUT = -1
"""The epoch whose order chooses the rows that are held out."""


class Rows(NamedTuple):
    """Some rows to train on, padded to the same length."""

    input_ids: Integers
    """(rows, sequence)"""
    labels: Integers
    """(rows, sequence): the id to predict at each position, or ``loss.IGNORED`` where there is no target."""
    documents: Integers | None = None
    """(rows, sequence): a number for each position, which attends only to positions with the same; None: to all."""


class Data(Protocol):
    """Rows to train on, by number; the same number at the same position is always the same row."""

    def __len__(self) -> int:
        """How many there are."""

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        """Those rows, in that order; a length of their own for each call is fine.

        Args:
            indices: Numbers of the rows.
            positions: Of each in the whole run, step · batch + place in the batch: what is drawn for a row, such as
                masks, is drawn from the seed and this number, so neither a resume nor the number of processes changes
                it. Held-out rows have fixed negative ones.
        """


class Split:
    """The rows of some data as two sets: ``held_out`` of them, drawn by seed, and those that are trained on."""

    def __init__(self, data: Data, held_out: int, seed: int) -> None:
        self.data, self.held_out = data, held_out
        self.rows = len(data) - held_out
        self._order = order.Permutation(len(data), seed, _HELD_OUT) if held_out else None

    def batch(self, step: int, size: int, seed: int) -> tuple[Integers, Integers]:
        """Numbers of the rows of a step, and their positions; both of shape (size,)."""
        chosen = order.batch(step, size=size, rows=self.rows, seed=seed)
        if self._order is not None:
            chosen = self._order(chosen + self.held_out)
        return chosen, np.arange(step * size, (step + 1) * size, dtype=np.int64)

    def held_out_rows(self) -> tuple[Integers, Integers]:
        """Numbers of the rows that are held out, and their positions."""
        places = np.arange(self.held_out, dtype=np.int64)
        return (places if self._order is None else self._order(places)), -1 - places
