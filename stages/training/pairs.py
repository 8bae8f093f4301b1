"""Next-sentence prediction: of two passages in a row, whether the second follows the first (Devlin et al., BERT,
arXiv 1810.04805, section 3.1), learned beside the masked tokens.

Every row becomes a pair: it is cut within a document, and in half of the pairs another row of the same batch gives what
stands behind the cut. So a batch is made of the same documents as without pairs, and rows that are held out stay apart
from those that are trained on.
"""

import numpy as np
import torch
from torch.nn import functional

from stages.core import order
from stages.core.examples import IGNORED
from stages.core.order import Integers, Order
from stages.core.tokens import pieces
from stages.training.data import Data, Rows
from stages.training.learner import Learner, Losses

_FOLLOWS, _ANOTHER = 0, 1  # as transformers numbers them


class Pairs:
    """Rows of masked tokens as pairs: ``<s> first </s> second </s>``.

    Args:
        data: The rows.
        order: Of the run.
        batch: Rows of a step.
        begin: Id that begins a pair.
        end: Id that ends each part.
        pad: Id of padding.
    """

    def __init__(self, data: Data, order: Order, batch: int, *, begin: int, end: int, pad: int) -> None:
        self.data, self.order, self.batch = data, order, batch
        self.begin, self.end, self.pad = begin, end, pad

    def __len__(self) -> int:
        return len(self.data)

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        """Those rows; ``values`` are 0 where the second part follows the first, and 1 where it is another's."""
        draws = [np.random.Generator(np.random.PCG64(order.mixed(self.order.seed, int(at), 1))) for at in positions]
        follows = np.array([draw.random() < 0.5 for draw in draws])
        others = np.where(follows, indices, [self._other(*one) for one in zip(positions, draws, strict=True)])
        first, another = self.data.rows(indices, positions), self.data.rows(others, positions)
        assert first.documents is not None
        assert another.documents is not None
        cuts = np.array([self._cut(*one) for one in zip(first.input_ids, draws, strict=True)])[:, None]
        places = np.arange(first.input_ids.shape[1])
        second = places > cuts

        def joined(own: Integers, other: Integers) -> Integers:
            """What stands behind the cut moves on by one, for the end of the first part."""
            return np.where(second, np.roll(other, 1, axis=1), own)

        input_ids = joined(first.input_ids, another.input_ids)
        last = (places == len(places) - 1) & (input_ids != self.pad)
        input_ids = np.where(places == 0, self.begin, np.where((places == cuts) | last, self.end, input_ids))
        outside = (places == 0) | (places == cuts) | (places == len(places) - 1)
        labels = np.where(outside, IGNORED, joined(first.labels, another.labels))
        documents = joined(first.documents, another.documents)
        kinds = np.where(others == indices, _FOLLOWS, _ANOTHER)
        return Rows(input_ids, labels, documents, kinds, second.astype(np.int64))

    def sources(self, indices: Integers) -> list[str]:
        """What those rows were made of."""
        return self.data.sources(indices)

    def _other(self, position: int, draw: np.random.Generator) -> int:
        """Another row of the batch, or of those that are held out, than the one at a position."""
        if position < 0:
            rows, place = self.order.held_out_rows(), -1 - position
        else:
            rows, place = self.order.batch(position // self.batch, self.batch), position % self.batch
        return int(rows[(place + draw.integers(1, max(2, len(rows)))) % len(rows)])

    def _cut(self, row: Integers, draw: np.random.Generator) -> int:
        """Where the first part of a row ends: in its middle half, and where no document begins, if there is a place."""
        middle = np.arange(len(row) // 4, len(row) - len(row) // 4)
        same = np.diff(pieces(row, begin=self.begin, end=self.end), prepend=0)[middle] == 0
        within = middle[same & (row[middle] != self.pad)]
        return int(draw.choice(within if len(within) else middle))


class PairLearner(Learner):
    """A model for masked language modelling that also tells whether two passages follow each other."""

    def forward(  # type: ignore[override]
        self,
        input_ids: torch.Tensor,
        labels: torch.Tensor,
        where: torch.Tensor | None,
        documents: torch.Tensor | None,
        segments: torch.Tensor,
        kinds: torch.Tensor,
        targets: torch.Tensor,
        change: torch.Tensor | None = None,
    ) -> Losses:
        """The losses of some rows; the cross-entropy is that of the masked tokens.

        Args:
            input_ids: (rows, sequence)
            labels: See :class:`~stages.training.learner.Learner`.
            where: The same.
            documents: The same.
            segments: (rows, sequence): the part of the pair, 0 or 1.
            kinds: (rows,): 0 where the second part follows the first.
            targets: (rows,): masked tokens of each. What is minimised is a mean over these, so a pair counts as many.
            change: (rows, sequence, width), added to the embeddings.
        """
        hidden, body, embedded = self.body(input_ids, documents, change, token_type_ids=segments)
        with torch.autocast(input_ids.device.type, torch.bfloat16, enabled=self.kind == torch.bfloat16):
            logits = self.model.cls.seq_relationship(body.pooler_output)
        pair = (functional.cross_entropy(logits.float(), kinds, reduction="none") * targets).sum()
        losses = self.losses(hidden, embedded, labels, where)
        return losses._replace(objective=losses.objective + pair)

    @staticmethod
    def arguments(rows: Rows, device: torch.device) -> list[torch.Tensor | None]:
        """What :meth:`forward` takes, from rows: all but ``change``, which comes after."""
        assert rows.values is not None
        assert rows.segments is not None
        parts = [rows.segments, rows.values, (rows.labels != IGNORED).sum(axis=1)]
        return Learner.arguments(rows, device) + [torch.from_numpy(part).to(device) for part in parts]
