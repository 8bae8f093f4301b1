"""What training data are: rows by number, held-out rows among them."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from stages.core import order
from stages.core.examples import IGNORED, Example, Redraw
from stages.core.order import Integers
from stages.core.params import LesserShare, params


class Rows(NamedTuple):
    """Some rows to train on, padded to the same length."""

    input_ids: Integers
    """(rows, sequence)"""
    labels: Integers
    """(rows, sequence): what to predict at each position, or ``IGNORED`` where there is no target."""
    documents: Integers | None = None
    """(rows, sequence): a number for each position, which attends only to positions with the same; None: to all."""
    values: npt.NDArray[Any] | None = None
    """(rows, …): what is known of each whole row, such as its class; None: nothing."""
    segments: Integers | None = None
    """(rows, sequence): of rows that are pairs, the part, 0 or 1; None: they are none."""


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

    def part(self, indices: Integers) -> "Fixed":
        """Those rows as data of their own."""
        return Fixed(self.rows(indices, indices), [self.made_of[row] for row in indices])


class Padded:
    """Rows of lengths of their own, padded at their end to the longest of those that are asked for together.

    Args:
        examples: The rows.
        pad: Id of padding.
        redraw: Gives a row as it stands at a position of the run, where that is not always the same.
    """

    def __init__(self, examples: Sequence[Example], pad: int, redraw: Redraw | None = None) -> None:
        self.examples, self.pad, self.redraw = examples, pad, redraw
        self.lengths = np.array([len(one.ids) for one in examples])
        """Of the rows as they were read."""

    def __len__(self) -> int:
        return len(self.examples)

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        """Those rows."""
        if self.redraw is None:
            chosen = [self.examples[index] for index in indices]
        else:
            chosen = [self.redraw(int(index), int(at)) for index, at in zip(indices, positions, strict=True)]
        length = max(len(one.ids) for one in chosen)
        input_ids = np.full((len(chosen), length), self.pad, dtype=np.int64)
        labels = np.full((len(chosen), length), IGNORED, dtype=np.int64)
        for row, one in enumerate(chosen):
            input_ids[row, : len(one.ids)] = one.ids
            labels[row, : len(one.labels)] = one.labels
        return Rows(input_ids, labels, values=np.array([one.value for one in chosen]))

    def sources(self, indices: Integers) -> list[str]:
        """What those rows were made of."""
        return list(dict.fromkeys(self.examples[index].source for index in indices))

    def part(self, indices: Integers) -> "Padded":
        """Those rows as data of their own."""
        redraw = self.redraw
        inner = None if redraw is None else lambda index, position: redraw(int(indices[index]), position)
        return Padded([self.examples[index] for index in indices], self.pad, inner)


_WINDOW = 50
"""Most batches whose rows are dealt out by length, as in transformers' LengthGroupedSampler; of few rows, a quarter of
an epoch, so that its batches stay mixed."""


class Split:
    """The rows of some data as two sets: ``held_out`` of them, drawn by seed, and those that are trained on.

    Rows of lengths of their own come in batches of like length, which saves padding: the rows of some steps that
    follow each other are dealt out by length, and the batches so made come in an order that is drawn. Each epoch is
    dealt out by itself: only the one batch in which two of them meet can hold a row twice.

    Args:
        data: All rows.
        held_out: How many are never trained on.
        seed: Of the order.
        steps: Length of the run.
    """

    def __init__(self, data: Data, held_out: int, seed: int, steps: int) -> None:
        self.data, self.held_out, self.seed, self.steps = data, held_out, seed, steps
        self._order = order.Order(len(data), held_out, seed)
        self.rows = self._order.trained

    def batch(self, step: int, size: int) -> tuple[Integers, Integers]:
        """Numbers of the rows of a step, and their positions; both of shape (size,)."""
        lengths = self.data.lengths if isinstance(self.data, Padded) else None
        chosen = self._order.batch(step, size) if lengths is None else self._alike(step, size, lengths)
        return chosen, np.arange(step * size, (step + 1) * size, dtype=np.int64)

    def _alike(self, step: int, size: int, lengths: Integers) -> Integers:
        window = min(_WINDOW, max(1, self.rows // (4 * size)))
        first = step - step % window
        last = first + window
        # A window ends with the run; batches behind that are those of a run that went back, past others.
        first, last = (first, min(last, self.steps)) if step < self.steps else (max(first, self.steps), last)
        count = last - first
        rows = np.concatenate([self._order.batch(first + number, size) for number in range(count)])
        epochs = np.arange(first * size, (first + count) * size) // self.rows
        batches = rows[np.lexsort((lengths[rows], epochs))].reshape(count, size)
        turn = order.Permutation(count, self.seed, first)(np.array([step - first]))
        return batches[int(turn[0])]

    def held_out_rows(self) -> tuple[Integers, Integers]:
        """Numbers of the rows that are held out, and their positions."""
        return self._order.held_out_rows(), -1 - np.arange(self.held_out, dtype=np.int64)


@params
class Earlier:
    """Rows that a model was trained on before, shown again so that it does not forget them."""

    tokens: str
    """Folder of packed tokens under incoming/pretrain; empty: none."""
    share: LesserShare
    """Of the rows of a run."""

    @model_validator(mode="after")
    def _both(self) -> "Earlier":
        if bool(self.tokens) != bool(self.share):
            raise ValueError("tokens says what is shown again and share how much: set both, or neither")
        return self


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
        both: list[Any] = list(zip(new, old, strict=True))
        fields: list[Any] = [None if one[0] is None or one[1] is None else np.concatenate(one)[back] for one in both]
        return Rows(*fields)

    def sources(self, indices: Integers) -> list[str]:
        """What those rows were made of."""
        is_old, drawn = self._parts(indices)
        return list(dict.fromkeys(self.new.sources(indices[~is_old]) + self.old.sources(drawn)))

    def _parts(self, indices: Integers) -> tuple[npt.NDArray[np.bool_], Integers]:
        """Which rows are old, and the numbers of these among the old ones."""
        is_old = indices >= len(self.new)
        return is_old, order.stream(indices[is_old] - len(self.new), rows=len(self.old), seed=self.seed)
