"""Models that give a text, or each of its words, a class or a number: their heads, and what they learn.

The head is transformers' own (``…ForSequenceClassification``, ``…ForTokenClassification``): a model that reads onwards
judges a text by its last token, one that looks both ways by its first.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import CONFIG_MAPPING, AutoModelForTokenClassification
from transformers.utils import logging

from stages.core.errors import HeadwaterError
from stages.core.examples import IGNORED, Example
from stages.training import model as models
from stages.training.data import Rows
from stages.training.learner import Losses, Wrapped
from stages.training.settings import Training


def load(folder: Path, dropout: float, seed: int, *, names: Sequence[str], tagging: bool) -> Any:
    """The model of a folder in float32, its output layer for words exchanged for one of classes, drawn by seed.

    Args:
        folder: Of the pretrained model.
        dropout: As in :class:`~stages.training.model.Architecture`.
        seed: Of the weights of the new layer.
        names: Of the classes; none: one number.
        tagging: Whether each token has a class.

    Raises:
        HeadwaterError: there is no model, or its kind has no such head.
    """
    config = models.described(folder, dropout)
    family = models.HEADS["ForTokenClassification" if tagging else "ForSequenceClassification"]
    if type(config) not in family._model_mapping:
        kinds = ", ".join(kind for kind in models.KINDS if CONFIG_MAPPING[kind] in family._model_mapping)
        raise HeadwaterError(
            f"{folder}: a {config.model_type} has no head for tags in transformers; these have: {kinds}"
        )
    config.architectures = [family._model_mapping[type(config)].__name__]
    config.id2label = dict(enumerate(names)) or {0: "score"}
    config.label2id = {name: number for number, name in config.id2label.items()}
    if not tagging:
        config.problem_type = "single_label_classification" if names else "regression"
    if family is AutoModelForTokenClassification:
        config.classifier_dropout = dropout  # else transformers takes 0.1
    torch.manual_seed(seed)
    said = logging.get_verbosity()
    logging.set_verbosity_error()  # it warns that the head is new
    try:
        return models.load_as(config, folder)
    finally:
        logging.set_verbosity(said)


class _Head(Wrapped):
    """A model with a head."""

    def outputs(self, input_ids: torch.Tensor, change: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits in float32, and embeddings, to which ``change`` is added; both of shape (rows, …)."""
        seen: list[torch.Tensor] = []

        def add(_: Any, __: Any, embedded: torch.Tensor) -> torch.Tensor:
            seen.append(embedded)
            return embedded if change is None else embedded + change

        hook = self.model.get_input_embeddings().register_forward_hook(add)
        mask = (input_ids != self.model.config.pad_token_id).long()
        try:
            with torch.autocast(input_ids.device.type, torch.bfloat16, enabled=self.kind == torch.bfloat16):
                logits = self.model(input_ids=input_ids, attention_mask=mask).logits
        finally:
            hook.remove()
        return logits.float(), seen[0]


class Classifier(_Head):
    """Makes the class of each row as likely as it can.

    Args:
        model: From :func:`load`.
        training: Its label smoothing spreads over the classes.
        weights: Of each class, what one of its rows counts; none: all the same.
    """

    def __init__(self, model: Any, training: Training, weights: Sequence[float] = ()) -> None:
        super().__init__(model, training)
        self.weights = tuple(weights)

    def forward(self, input_ids: torch.Tensor, classes: torch.Tensor, change: torch.Tensor | None = None) -> Losses:
        """The losses of some rows.

        Args:
            input_ids: (rows, sequence)
            classes: (rows,)
            change: (rows, sequence, width), added to the embeddings.
        """
        logits, embedded = self.outputs(input_ids, change)
        return self.judged(logits, classes, embedded)

    def judged(self, logits: torch.Tensor, classes: torch.Tensor, embedded: torch.Tensor) -> Losses:
        """The losses of logits, (targets, classes)."""
        weights = logits.new_tensor(self.weights) if self.weights else None
        z_loss, smoothing = self.penalties
        objective = functional.cross_entropy(logits, classes, weights, reduction="sum", label_smoothing=smoothing)
        if z_loss:
            objective = objective + z_loss * logits.logsumexp(1).square().sum()
        return Losses(objective, functional.cross_entropy(logits.detach(), classes, reduction="sum"), embedded)

    @staticmethod
    def arguments(rows: Rows, device: torch.device) -> list[torch.Tensor | None]:
        """Ids, and the class of each row."""
        assert rows.values is not None
        return [torch.from_numpy(part).to(device) for part in (rows.input_ids, rows.values.astype(np.int64))]

    @staticmethod
    def targets(rows: Rows) -> int:
        """Every row is one."""
        return len(rows.input_ids)


class Tagger(Classifier):
    """Makes the class of each token that has one as likely as it can."""

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor, change: torch.Tensor | None = None) -> Losses:
        """The losses of some rows.

        Args:
            input_ids: (rows, sequence)
            labels: (rows, sequence), or ``IGNORED``.
            change: (rows, sequence, width), added to the embeddings.
        """
        logits, embedded = self.outputs(input_ids, change)
        where = labels != IGNORED
        return self.judged(logits[where], labels[where], embedded)

    @staticmethod
    def arguments(rows: Rows, device: torch.device) -> list[torch.Tensor | None]:
        """Ids, and the class of each token."""
        return [torch.from_numpy(part).to(device) for part in (rows.input_ids, rows.labels)]

    @staticmethod
    def targets(rows: Rows) -> int:
        """Tokens that have a class."""
        return int((rows.labels != IGNORED).sum())


class Scorer(_Head):
    """Brings the number of each row as close as it can: the mean squared error."""

    def forward(self, input_ids: torch.Tensor, values: torch.Tensor, change: torch.Tensor | None = None) -> Losses:
        """The losses of some rows; the cross-entropy is the squared error here.

        Args:
            input_ids: (rows, sequence)
            values: (rows,)
            change: (rows, sequence, width), added to the embeddings.
        """
        numbers, embedded = self.outputs(input_ids, change)
        error = (numbers[:, 0] - values).square().sum()
        return Losses(error, error.detach(), embedded)

    @staticmethod
    def arguments(rows: Rows, device: torch.device) -> list[torch.Tensor | None]:
        """Ids, and the number of each row."""
        assert rows.values is not None
        return [torch.from_numpy(part).to(device) for part in (rows.input_ids, rows.values.astype(np.float32))]

    @staticmethod
    def targets(rows: Rows) -> int:
        """Every row is one."""
        return len(rows.input_ids)


def balanced(examples: Sequence[Example], count: int) -> tuple[float, ...]:
    """Weights with which every class counts the same, and a target 1 in the mean (King and Zeng 2001).

    Args:
        examples: With their classes, or those of their tokens.
        count: How many classes there are; one that is nowhere weighs nothing.
    """
    classes = [label for one in examples for label in one.labels or (int(one.value),) if label != IGNORED]
    there = np.bincount(classes, minlength=count)
    present = int((there > 0).sum())
    return tuple(float(len(classes) / (present * number)) if number else 0.0 for number in there)
