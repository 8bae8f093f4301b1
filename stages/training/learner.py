"""Model and loss as one module, which is what FSDP2 shards: from token ids to a sum of losses."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from stages.core.examples import IGNORED
from stages.training.data import Rows
from stages.training.flops import flops_per_token
from stages.training.loss import Penalties, output_loss
from stages.training.settings import Training

PREFIX = "model."
"""What the names of weights begin with here, and not in the model."""


class Losses(NamedTuple):
    """Of one micro-batch, sums over its targets."""

    objective: torch.Tensor
    """What is minimised."""
    cross_entropy: torch.Tensor
    """The part of it that runs are compared by."""
    embedded: torch.Tensor
    """(rows, sequence, width): the embeddings, whose gradient says where a change hurts most."""


class Wrapped(nn.Module):
    """A model of transformers, set up for training; a subclass gives it an objective.

    A subclass has ``forward(*arguments, change) -> Losses``, and says with ``arguments`` what that takes of some rows,
    and with ``targets`` how many there are in them: the objective of a batch is a mean over these.

    Args:
        model: :mod:`stages.training.model` makes it.
        training: Precision, attention, compilation and the objective's penalties.
    """

    def __init__(self, model: Any, training: Training) -> None:
        super().__init__()
        self.model = model
        self.kind = torch.bfloat16 if training.precision == "bf16" else torch.float32
        self.penalties = Penalties(training.z_loss, training.label_smoothing)
        model.set_attn_implementation(training.attention)
        if training.activation_checkpointing:
            model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        if training.compile:
            for layer in layers(model):  # in place: names of weights stay as they are
                layer.compile()

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations of a pass, forward and backward, for each token of rows of the model's context."""
        return flops_per_token(self.model, self.model.config.max_position_embeddings)


class Learner(Wrapped):
    """A model for causal or masked language modelling that makes every target id as likely as it can."""

    def forward(
        self,
        input_ids: torch.Tensor,
        labels: torch.Tensor,
        where: torch.Tensor | None = None,
        documents: torch.Tensor | None = None,
        change: torch.Tensor | None = None,
    ) -> Losses:
        """The losses of some rows.

        Args:
            input_ids: (rows, sequence)
            labels: (targets,), the ids to predict, row after row.
            where: (targets,), the position of each, counted through all rows; None: every position has a target.
            documents: (rows, sequence), see :class:`~stages.training.data.Rows`.
            change: (rows, sequence, width), added to the embeddings.
        """
        hidden, embedded = self.hidden(input_ids, documents, change)
        return self.losses(hidden, embedded, labels, where)

    def losses(
        self, hidden: torch.Tensor, embedded: torch.Tensor, labels: torch.Tensor, where: torch.Tensor | None
    ) -> Losses:
        """The losses of what :meth:`hidden` gives; for the rest see :meth:`forward`."""
        head = self.model.get_output_embeddings()
        objective, cross_entropy = output_loss(
            hidden.flatten(0, 1), head.weight, head.bias, labels, where, kind=self.kind, penalties=self.penalties
        )
        return Losses(objective, cross_entropy, embedded)

    def hidden(
        self, input_ids: torch.Tensor, documents: torch.Tensor | None, change: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the output layer multiplies, and the embeddings; both of shape (rows, sequence, width)."""
        hidden, _, embedded = self.body(input_ids, documents, change)
        return hidden, embedded

    def body(
        self, input_ids: torch.Tensor, documents: torch.Tensor | None, change: torch.Tensor | None, **more: torch.Tensor
    ) -> tuple[torch.Tensor, Any, torch.Tensor]:
        """As :meth:`hidden`, with all that the model without its output layer gives, which may be told ``more``."""
        with torch.autocast(input_ids.device.type, torch.bfloat16, enabled=self.kind == torch.bfloat16):
            embedded = self.model.get_input_embeddings()(input_ids)
            inputs = embedded if change is None else embedded + change
            apart = {} if documents is None else self._apart(documents)
            given = self.model.base_model(inputs_embeds=inputs, use_cache=False, **apart, **more)
            hidden = given.last_hidden_state
            if hasattr(self.model, "cls"):  # BERT transforms once more before its output layer
                hidden = self.model.cls.predictions.transform(hidden)
        return hidden, given, embedded

    @staticmethod
    def arguments(rows: Rows, device: torch.device) -> list[torch.Tensor | None]:
        """What :meth:`forward` takes, from rows: all but ``change``, which comes after."""
        counted = rows.labels != IGNORED
        where = None if counted.all() else np.flatnonzero(counted)
        parts = [rows.input_ids, rows.labels[counted], where, rows.documents]
        return [None if part is None else torch.from_numpy(part).to(device, non_blocking=True) for part in parts]

    @staticmethod
    def targets(rows: Rows) -> int:
        """How many targets some rows have; the objective of a batch is a mean over them."""
        return int((rows.labels != IGNORED).sum())

    def _apart(self, documents: torch.Tensor) -> dict[str, torch.Tensor]:
        """Positions counted from the start of each document, and the mask that keeps attention within it."""
        length = documents.shape[1]
        places = torch.arange(length, device=documents.device).expand_as(documents)
        starts = torch.ones_like(documents, dtype=torch.bool)
        starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
        positions = places - torch.where(starts, places, 0).cummax(1).values
        if not hasattr(self.model, "cls"):
            # From positions that begin anew, transformers makes the mask that the kind of attention asks for.
            return {"position_ids": positions}
        same = (documents[:, None, :, None] == documents[:, None, None, :]).expand(-1, 1, length, length)
        mask = same
        if self.model.config._attn_implementation == "eager":  # which adds its mask to the scores
            mask = torch.zeros(same.shape, device=same.device).masked_fill(~same, torch.finfo(torch.float32).min)
        return {"position_ids": positions, "attention_mask": mask}


Making = Callable[[Any, Training], Wrapped]
"""Gives a model its objective."""


def layers(model: Any) -> nn.ModuleList:
    """The layers of a transformer, which are alike."""
    count = model.config.num_hidden_layers
    return next(module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == count)


def is_matrix(weights: torch.Tensor) -> bool:
    """Whether weights are one, and no vector, such as a norm's; IA³'s are written as matrices of a row or column."""
    return weights.ndim > 1 and min(weights.shape) > 1


def trained(module: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those of some weights by name that are not frozen in ``module``, under any of their names."""
    names = module.named_parameters(remove_duplicate=False)
    frozen = {name for name, weights in names if not weights.requires_grad}
    return {name: weights for name, weights in state.items() if name not in frozen}
