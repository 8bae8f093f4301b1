"""A smaller model learns what a larger one makes of every token (Hinton et al., arXiv 1503.02531)."""

from typing import Any

import torch
from pydantic import PositiveFloat
from torch.nn import functional

from stages.core.params import Share, params
from stages.training import logits
from stages.training.flops import forward_flops_per_token
from stages.training.learner import Learner, Losses
from stages.training.model import Architecture
from stages.training.settings import Training


@params
class Distillation:
    """Who learns from whom, and what of it."""

    teacher: str
    """Folder of a model under incoming/finetune; empty: the pretrained model."""
    student: str
    """Folder of a model under incoming/finetune; empty: a new one of `architecture`."""
    architecture: Architecture
    """Of a new student; its vocabulary and context are the pretrained model's."""
    temperature: PositiveFloat
    """What the logits of both are divided by: above 1, more of what the teacher holds for unlikely is learned."""
    share: Share
    """Of the objective that is the distance to the teacher's probabilities; the rest is the cross-entropy of ids."""


class Student(Learner):
    """A language model that comes close to another's probabilities.

    Its objective is the divergence of the student's probabilities from the teacher's, times the squared temperature so
    that its gradient does not shrink with it (section 2 of the paper), and the cross-entropy.

    Args:
        model: The student.
        training: How it learns.
        teacher: Has the same vocabulary. It is no part of this module: neither trained, sharded nor saved.
        told: Temperature and share.
    """

    def __init__(self, model: Any, training: Training, teacher: Any, told: Distillation) -> None:
        super().__init__(model, training)
        self.told = told
        self._teacher = (Learner(teacher.eval().requires_grad_(False), training),)

    @property
    def flops_per_token(self) -> int:
        """Those of the student, see :class:`Learner`, and the teacher's answer."""
        (teacher,), context = self._teacher, self.model.config.max_position_embeddings
        return super().flops_per_token + forward_flops_per_token(teacher.model, context)

    def forward(
        self,
        input_ids: torch.Tensor,
        labels: torch.Tensor,
        where: torch.Tensor | None = None,
        documents: torch.Tensor | None = None,
        change: torch.Tensor | None = None,
    ) -> Losses:
        """The losses of some rows; for what is given see :meth:`Learner.forward`."""
        (teacher,) = self._teacher
        hidden, embedded = self.hidden(input_ids, documents, change)
        with torch.no_grad():
            expected, _ = teacher.to(input_ids.device).hidden(input_ids, documents, None)
        seen = [one.flatten(0, 1) if where is None else one.flatten(0, 1)[where] for one in (hidden, expected)]
        layers = [logits.layer(one) for one in (self.model, teacher.model)]
        each = logits.in_chunks(self._each, layers, seen, labels, self.kind)
        return Losses(each[:, 0].sum(), each[:, 1].detach().sum(), embedded)

    def _each(self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Objective and cross-entropy of each target, (targets, 2)."""
        z_loss, smoothing = self.penalties
        heat, share = self.told.temperature, self.told.share
        soft, wanted = ((one / heat).log_softmax(1) for one in (student, teacher))
        distance = functional.kl_div(soft, wanted, reduction="none", log_target=True).sum(1)
        hard = functional.cross_entropy(student, labels, reduction="none", label_smoothing=smoothing)
        objective = share * heat**2 * distance + (1 - share) * hard
        if z_loss:
            objective = objective + z_loss * student.logsumexp(1).square()
        return torch.stack([objective, functional.cross_entropy(student, labels, reduction="none")], 1)
