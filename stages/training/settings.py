"""How a model is trained: the parameters that every stage that trains has in common."""

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from stages.core.params import LesserShare, params
from stages.training.schedule import Schedule


@params
class Averaging:
    """Which weights a run ends in: the last, or a mean over its steps."""

    method: Literal["none", "ema", "uniform"]
    """none: those of the last step; ema: their exponential moving average (Polyak and Juditsky 1992), which forgets the
    start of the run faster; uniform: the mean of checkpoints (Izmailov et al., arXiv 1803.05407; Sanyal et al., arXiv
    2306.03241)."""
    decay: LesserShare
    """Of ema: what a step leaves of the average."""
    points: PositiveInt
    """Of uniform: checkpoints that are averaged, the last step among them."""
    every: PositiveInt
    """Of uniform: steps between them."""


@params
class HeldOut:
    """Rows that are not trained on, and what their loss decides."""

    rows: NonNegativeInt
    """How many, drawn by seed; 0 holds out none."""
    every: PositiveInt
    """Steps from one measurement to the next."""
    patience: NonNegativeInt
    """Measurements in a row without a new lowest loss after which the run ends, in the weights of the lowest; 0 never
    ends it, and keeps those of the last step."""


@params
class Spikes:
    """Steps that are not learned from: their loss or gradient is no number, or their loss leaps."""

    action: Literal["stop", "skip", "rollback"]
    """stop ends the run; skip goes past their batch; rollback goes back to the last multiple of `every` and past all
    batches since (Chowdhery et al., PaLM, arXiv 2204.02311, section 5.1), and skips before the first."""
    deviations: PositiveFloat
    """A loss leaps that is this many standard deviations above the mean of the last `window` steps; OLMo takes 6."""
    window: Annotated[int, Field(ge=2)]
    """Steps learned from that a loss is held against; before there are so many, none leaps."""
    limit: PositiveInt
    """Of them in a row, or of ways back to the same step, after one more of which the run ends."""
    every: PositiveInt
    """Of rollback: steps between the checkpoints that it goes back to."""


@params
class Training:
    """How a model is trained: batches, arithmetic, optimizer, and what keeps it from learning by heart."""

    batch_sequences: PositiveInt
    """Rows of a step, over all processes."""
    micro_batch: PositiveInt
    """Rows of a forward pass on one process; the gradients of a step's passes are added up."""
    precision: Literal["bf16", "fp32", "tf32"]
    """Type of matrix products: bf16 (by autocast, weights stay float32), fp32, or tf32, the shortened float32 of
    NVIDIA's GPUs."""
    deterministic: bool
    """Whether the same run gives the same bytes; false lets a GPU choose faster operations that do not repeat
    themselves."""
    attention: Literal["sdpa", "eager"]
    """How attention is computed: sdpa never holds its matrix of context², which long contexts and GPUs need; on a CPU
    at a context of 256, eager is faster (26 against 43 ms a layer, forward and backward, of 4,096 tokens)."""
    documents_apart: bool
    """Whether attention stays within a document of a row, and positions count from its start."""
    compile: bool
    """Whether layers are compiled (torch.compile); the first step then takes minutes."""
    activation_checkpointing: bool
    """Whether layers are computed again in the backward pass, which saves their memory for a third more arithmetic."""
    schedule: Schedule
    """Learning rate by step."""
    optimizer: Literal["adamw", "muon"]
    """adamw (Loshchilov and Hutter, arXiv 1711.05101); muon for the matrices of layers (Jordan et al. 2024), scaled as
    Liu et al. (arXiv 2502.16982) do so that AdamW's learning rate fits both, and adamw for the rest."""
    betas: tuple[PositiveFloat, PositiveFloat]
    """Of adamw: decay of the running means of gradient and squared gradient."""
    epsilon: PositiveFloat
    """Of adamw: added to the root of the mean squared gradient."""
    momentum: LesserShare
    """Of muon: decay of the running mean of the gradient."""
    weight_decay: NonNegativeFloat
    """Pull of weights towards 0, times the learning rate; on matrices only."""
    clip: PositiveFloat
    """Norm that the gradient of a step is cut to."""
    z_loss: NonNegativeFloat
    """Weight of the squared logarithm of the softmax's denominator, which keeps logits small; PaLM took 1e-4."""
    label_smoothing: LesserShare
    """Share of a target's probability that is spread over the vocabulary."""
    adversarial: NonNegativeFloat
    """Norm of the worst-case change to the embeddings of a row on which the batch is learned a second time (fast
    gradient method: Miyato et al., arXiv 1605.07725), for twice the time; 0 does not."""
    averaging: Averaging
    """Which weights the run ends in."""
    held_out: HeldOut
    """Rows that measure and may end the run."""
    spikes: Spikes
    """What is done about a step that would do harm."""

    @field_validator("precision", mode="before")
    @classmethod
    def _no_fp16(cls, value: object) -> object:
        if value == "fp16":
            raise ValueError("fp16 overflows without loss scaling, whose state breaks exact repetition; take bf16")
        return value

    @model_validator(mode="after")
    def _one_end(self) -> "Training":
        if self.held_out.patience and not self.held_out.rows:
            raise ValueError("held_out.patience needs rows to measure: set held_out.rows")
        if self.held_out.patience and self.averaging.method != "none":
            raise ValueError("a run ends in an average or, with held_out.patience, in the best weights: choose one")
        return self
