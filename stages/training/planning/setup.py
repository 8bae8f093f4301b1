"""What is followed for a plan, and what is found: plain values that go to other processes and back."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from stages.core.params import check
from stages.training.settings import Training

PARTS = (
    "parameters",
    "gradients",
    "optimizer",
    "averaged weights",
    "activations",
    "whole gradients",
    "gathered layers",
    "temporary",
)
"""What the memory of a step is made of. The first four are a rank's share; gradients are whole until they are reduced,
and layers are whole while they are used."""


@dataclass(frozen=True)
class Setup:
    """A run on some ranks."""

    model: dict[str, Any]
    """``pretrain.model`` of params.yaml."""
    training: Training
    vocab_size: int
    context: int
    """Longest row, in tokens."""
    documents: bool
    """Whether attention is told which positions belong together."""
    ranks: int
    """Processes that the model is sharded over; 1 does not shard."""

    @property
    def rows(self) -> int:
        """Rows of a step on each rank."""
        return self.training.batch_sequences // self.ranks

    def changed(self, *, micro_batch: int, passes: int, checkpointing: bool, layers: int | None = None) -> "Setup":
        """The same with ``passes`` micro-batches a step, activations kept or computed again, and other ``layers``."""
        training = dataclasses.replace(
            self.training,
            micro_batch=micro_batch,
            batch_sequences=micro_batch * passes * self.ranks,
            activation_checkpointing=checkpointing,
        )
        model = self.model if layers is None else {**self.model, "layers": layers}
        return dataclasses.replace(self, training=training, model=model)


@dataclass(frozen=True)
class Memory:
    """Bytes of a rank."""

    peak: int
    """Most that is alive at once within a step."""
    parts: dict[str, int]
    """What that is made of, by the names in ``PARTS``."""
    parameters: int
    """Of the rank's share; so are the others."""
    gradients: int
    optimizer: int


@dataclass(frozen=True)
class Size:
    """A model as such."""

    parameters: int
    matrices: int
    """Those of them that are matrices of its layers."""
    flops_per_token: int
    """Forward and backward."""


def setup(values: dict[str, Any], *, ranks: int) -> Setup:
    """The run that params.yaml describes.

    Args:
        values: All of params.yaml.
        ranks: Processes, one for a GPU.

    Raises:
        HeadwaterError: a value is not what it should be.
    """
    pretrain = values["pretrain"]
    training = check(Training, pretrain["training"], "params.yaml: pretrain.training")
    return Setup(
        model=pretrain["model"],
        training=training,
        vocab_size=values["tokenizer"]["vocab_size"],
        context=values["pack"]["context"],
        documents=training.documents_apart or pretrain["objective"]["kind"] == "masked",
        ranks=ranks,
    )
