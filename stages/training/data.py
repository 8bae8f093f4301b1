"""What training data are: rows by number, held-out rows among them."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from stages.core import order
from stages.core.order import Integers


class Rows(NamedTuple):
    """Some rows to train on, padded to the same length."""

    input_ids: Integers
    """(rows, sequence)"""
    labels: Integers
    """(rows, sequence): what to predict at each position, or ``loss.IGNORED`` where there is no target."""
    documents: Integers | None = None
    """(rows, sequence): a number for each position, which attends only to positions with the same; None: to all."""
    values: npt.NDArray[Any] | None = None
    """(rows, …): what is known of each whole row, such as its class; None: nothing."""


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

    def sources(self, indices: Integers) -> list[str]:
        """What those rows were made of, each once: ids of documents, or where else a person finds it."""


class Fixed:
    """Rows in memory, in which nothing is drawn at random.

    Args:
        everything: The rows.
        made_of: What each was made of.
    """

    def __init__(self, everything: Rows, made_of: Sequence[Sequence[str]]) -> None:
        self.everything, self.made_of = everything, made_of

    def __len__(self) -> int:
        return len(self.everything.input_ids)

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        """Those rows."""
        input_ids, labels, *others = self.everything
        return Rows(input_ids[indices], labels[indices], *(None if part is None else part[indices] for part in others))

    def sources(self, indices: Integers) -> list[str]:
        """What those rows were made of."""
        return list(dict.fromkeys(source for row in indices for source in self.made_of[row]))


class Split:
    """The rows of some data as two sets: ``held_out`` of them, drawn by seed, and those that are trained on."""

    def __init__(self, data: Data, held_out: int, seed: int) -> None:
        self.data, self.held_out = data, held_out
        self._order = order.Order(len(data), held_out, seed)
        self.rows = self._order.trained

    def batch(self, step: int, size: int) -> tuple[Integers, Integers]:
        """Numbers of the rows of a step, and their positions; both of shape (size,)."""
        return self._order.batch(step, size), np.arange(step * size, (step + 1) * size, dtype=np.int64)

    def held_out_rows(self) -> tuple[Integers, Integers]:
        """Numbers of the rows that are held out, and their positions."""
        return self._order.held_out_rows(), -1 - np.arange(self.held_out, dtype=np.int64)


class Replay:
    """New rows with some of what a model was trained on before, which keeps it from forgetting (Ibrahim et al., arXiv
    2403.08763).

    Args:
        new: All of these.
        old: Rows of the same length, of which some are drawn.
        share: Of the rows that are old; 0 up to, but not including, 1.
        seed: Of the draw.
    """

    def __init__(self, new: Data, old: Data, share: float, seed: int) -> None:
        self.new, self.old, self.seed = new, old, seed
        self.replayed = round(len(new) * share / (1 - share))
        """Old rows."""

    def __len__(self) -> int:
        return len(self.new) + self.replayed

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        """Those rows: new ones have the numbers from 0 on, old ones follow."""
        is_old, drawn = self._parts(indices)
        if is_old.all():
            return self.old.rows(drawn, positions)
        if not is_old.any():
            return self.new.rows(indices, positions)
        new, old = self.new.rows(indices[~is_old], positions[~is_old]), self.old.rows(drawn, positions[is_old])
        back = np.argsort(np.argsort(is_old, kind="stable"))
        input_ids, labels = (np.concatenate(pair)[back] for pair in zip(new[:2], old[:2], strict=True))
        if new.documents is None or old.documents is None:
            return Rows(input_ids, labels)
        return Rows(input_ids, labels, np.concatenate([new.documents, old.documents])[back])

    def sources(self, indices: Integers) -> list[str]:
        """What those rows were made of."""
        is_old, drawn = self._parts(indices)
        return list(dict.fromkeys(self.new.sources(indices[~is_old]) + self.old.sources(drawn)))

    def _parts(self, indices: Integers) -> tuple[npt.NDArray[np.bool_], Integers]:
        """Which rows are old, and the numbers of these among the old ones."""
        is_old = indices >= len(self.new)
        return is_old, order.stream(indices[is_old] - len(self.new), rows=len(self.old), seed=self.seed)
