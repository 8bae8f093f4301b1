"""Answers that are preferred over others: direct preference optimisation.

DPO (Rafailov et al., arXiv 2305.18290, equation 7): how much likelier than under the model that training began with the
chosen answer is, against the same for the rejected one, is the margin of a logistic loss. What the first model, the
reference, makes of every answer is computed once, before training.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import reduce
from pydantic import PositiveFloat
from torch.nn import functional

from stages.core import shards
from stages.core.examples import IGNORED, Example
from stages.core.order import Integers
from stages.core.params import params
from stages.core.shards import Metrics
from stages.training import distributed, logits
from stages.training.data import Padded, Rows
from stages.training.learner import Learner, Losses
from stages.training.settings import Training


@params
class Preference:
    """What DPO is told."""

    beta: PositiveFloat
    """How much the answers' likelihood may leave the reference's: the smaller, the further. The loss is logistic in
    beta times the difference of log-probabilities; `training.label_smoothing` is the share of pairs that are taken to
    be the other way round (Mitchell 2023)."""


class Pairs(Padded):
    """Pairs of answers.

    Args:
        examples: The chosen and the rejected answer of the first pair, of the second, and so on; ``value`` is the
            log-probability of the answer under the reference.
        pad: Id of padding.
    """

    def __init__(self, examples: Sequence[Example], pad: int) -> None:
        super().__init__(examples, pad)
        self.lengths = self.lengths.reshape(-1, 2).max(1)

    def __len__(self) -> int:
        return len(self.examples) // 2

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        """Those pairs: rows with the chosen answers, and after all of these the rejected ones."""
        return super().rows(np.concatenate([2 * indices, 2 * indices + 1]), positions)

    def sources(self, indices: Integers) -> list[str]:
        """Files and rows of pairs."""
        return super().sources(2 * indices)

    def part(self, indices: Integers) -> "Pairs":
        """Those pairs as data of their own."""
        return Pairs([self.examples[row] for index in indices for row in (2 * index, 2 * index + 1)], self.pad)


class Chooser(Learner):
    """A model that makes chosen answers likelier, and rejected ones less likely, than they were.

    Args:
        model: For causal language modelling.
        training: Its label smoothing is that of the preference.
        beta: See :class:`Preference`.
    """

    def __init__(self, model: torch.nn.Module, training: Training, beta: float) -> None:
        super().__init__(model, training)
        self.beta = beta

    def forward(  # type: ignore[override]
        self,
        input_ids: torch.Tensor,
        labels: torch.Tensor,
        reference: torch.Tensor,
        change: torch.Tensor | None = None,
    ) -> Losses:
        """The losses of some pairs; the cross-entropy is the logistic loss here.

        Args:
            input_ids: (2 · pairs, sequence), first all chosen answers.
            labels: (2 · pairs, sequence), the ids of answers, or ``IGNORED``.
            reference: (2 · pairs,), log-probability of each under the reference.
            change: (2 · pairs, sequence, width), added to the embeddings.
        """
        likelihood, embedded = self.likelihood(input_ids, labels, change)
        chosen, rejected = (likelihood - reference).chunk(2)
        margin = self.beta * (chosen - rejected)
        flipped = self.penalties.label_smoothing
        losses = -(1 - flipped) * functional.logsigmoid(margin) - flipped * functional.logsigmoid(-margin)
        return Losses(losses.sum(), losses.detach().sum(), embedded)

    def likelihood(
        self, input_ids: torch.Tensor, labels: torch.Tensor, change: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probability of each row's answer, (rows,), in float32; and the embeddings."""
        hidden, embedded = self.hidden(input_ids, None, change)
        where = labels != IGNORED
        layer = logits.layer(self.model)
        each = logits.in_chunks(_chances, [layer], [hidden[where]], labels[where], self.kind)
        rows = torch.arange(len(labels), device=labels.device).unsqueeze(1).expand_as(labels)[where]
        return torch.zeros(len(labels), device=each.device).index_add(0, rows, each), embedded

    @staticmethod
    def arguments(rows: Rows, device: torch.device) -> list[torch.Tensor | None]:
        """Ids, labels and what the reference makes of them."""
        assert rows.values is not None
        parts = (rows.input_ids, rows.labels, rows.values.astype(np.float32))
        return [torch.from_numpy(part).to(device) for part in parts]

    @staticmethod
    def targets(rows: Rows) -> int:
        """Every pair is one."""
        return len(rows.input_ids) // 2


def _chances(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return logits.log_softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)


@torch.no_grad()
def likelihoods(
    chooser: Chooser, examples: Sequence[Example], pad: int, size: int, share: tuple[int, int] = (0, 1)
) -> torch.Tensor:
    """Log-probability of each answer, (examples,), ``size`` of them at a time.

    With ``share``, the number of a process and how many take turns, those of its turns; 0 for the others.
    """
    chooser.eval()
    data, (process, processes) = Padded(examples, pad), share
    device = next(chooser.parameters()).device
    found = torch.zeros(len(examples), dtype=torch.float64, device=device)
    for start in range(process * size, len(examples), processes * size):
        indices = np.arange(start, min(start + size, len(examples)))
        ids, labels, _ = chooser.arguments(data.rows(indices, indices), device)
        assert ids is not None
        assert labels is not None
        found[start : start + size] = chooser.likelihood(ids, labels)[0]
    return found


def judge(chooser: Chooser, examples: Sequence[Example], pad: int, size: int) -> Metrics:
    """How a model tells the chosen answers of pairs from the rejected ones: rewards as of equation 5 of the paper."""
    found = likelihoods(chooser, examples, pad, size).cpu().numpy()
    rewards = chooser.beta * (found - np.array([one.value for one in examples])).reshape(-1, 2)
    margins = rewards[:, 0] - rewards[:, 1]
    return {
        "accuracy": float((margins > 0).mean()),
        "margin": float(margins.mean()),
        "reward_chosen": float(rewards[:, 0].mean()),
        "reward_rejected": float(rewards[:, 1].mean()),
    }


def against(examples: Sequence[Example], file: Path, reference: Callable[[], Chooser], pad: int, size: int) -> Pairs:
    """Pairs with what the reference makes of them, which is written to a file of the work area and read from there.

    Processes that train together share the work; all of them call this.

    Args:
        examples: See :class:`Pairs`, but for their value.
        file: Where to; its folder is named for all that goes into it.
        reference: Loads the first model.
        pad: Id of padding.
        size: Answers at a time.
    """
    values: list[float] = []
    if file.is_file():
        values = json.loads(file.read_text("utf-8"))
    elif examples:
        found = likelihoods(distributed.moved(reference()), examples, pad, size, distributed.place())
        with distributed.together():
            values = reduce(found, "sum").tolist()
        if distributed.joined().is_main_process:  # the others have looked for the file: they took part
            partial = file.with_name(f"{file.name}.partial")
            partial.write_text(json.dumps(values), "utf-8")
            shards.replace(partial, file)
    return Pairs([one._replace(value=value) for one, value in zip(examples, values, strict=True)], pad)
