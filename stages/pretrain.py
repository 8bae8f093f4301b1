"""Train a language model on the packed tokens, from nothing or from a model that is there."""

from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from stages.core import fingerprint, shards
from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.stage import Metrics, main
from stages.core.tokens import TokenShards
from stages.text import tokenizers
from stages.training import model as models
from stages.training.data import Rows
from stages.training.loop import train
from stages.training.objective import Objective, Reader
from stages.training.order import Integers
from stages.training.settings import Training

_CHECKED = 4096  # rows at a time


@params
class Params:
    seed: int
    """Of the first weights, of the order of the data and of what is drawn in them."""
    steps: PositiveInt
    """Length of the run."""
    epochs: PositiveInt
    """Most times that the data are gone through, each in another order; `steps` that need more are refused."""
    model: models.Architecture
    """The model's shape."""
    objective: Objective
    """What it learns."""
    training: Training
    """How it learns."""


class Packed:
    """Packed rows as training data.

    Args:
        packed: The rows.
        reader: What makes of them what is to be learned.
    """

    def __init__(self, packed: TokenShards, reader: Reader) -> None:
        self.packed, self.reader = packed, reader

    def __len__(self) -> int:
        return len(self.packed)

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        """Those rows, shape (len(indices), context)."""
        return self.reader(self.packed.rows(indices), positions)


def run(params: Params, *, tokens: Path, tokenizer: Path, model: Path, log: Path) -> Metrics:
    """Train and write the model.

    Args:
        tokens: folder of packed token shards
        tokenizer: folder of the tokenizer that made them
        model: folder for the model, with the tokenizer's files
        log: CSV file for the loss of every step
    """
    packed = TokenShards(tokens)
    _check(params, packed, tokenizer)
    area = shards.area("pretrain", shards.identity(run, params, [tokens, tokenizer]))
    control = params.objective.control_tokens
    fresh = models.build(
        params.model, vocab_size=packed.vocab_size + len(control), context=packed.context, seed=params.seed
    )
    config = fresh.config
    trained = train(
        fresh,
        Packed(packed, _reader(params, packed)),
        params.training,
        steps=params.steps,
        seed=params.seed,
        area=area,
        label="pretrain",
    )
    if trained.is_main:
        models.save(config, trained.weights, model, stop=[tokenizers.END])
        models.copy_tokenizer(tokenizer, model, control)
        log.write_text(trained.log, "utf-8")
        shards.collect(keep=[area])
    return trained.metrics


def _reader(params: Params, packed: TokenShards) -> Reader:
    return Reader(
        params.objective,
        seed=params.seed,
        vocab_size=packed.vocab_size,
        first_text=len(tokenizers.CONTROL),
        begin=tokenizers.BEGIN,
        pad=packed.pad_id,
        documents_apart=params.training.documents_apart,
    )


def _check(params: Params, packed: TokenShards, tokenizer: Path) -> None:
    """Say what does not fit before the first step."""
    size = models.vocabulary(tokenizer)
    if size != packed.vocab_size:
        raise HeadwaterError(
            f"{packed.folder} was packed with a vocabulary of {packed.vocab_size}, {tokenizer} has one of {size}: "
            "run `dvc repro pack`"
        )
    if packed.description["tokenizer"] != fingerprint.file_hash(tokenizers.file(tokenizer)):
        raise HeadwaterError(
            f"{packed.folder} was packed with another tokenizer than {tokenizer}: run `dvc repro pack`"
        )
    if (params.objective.kind == "masked") != (params.model.kind in models.MASKED):
        raise HeadwaterError(
            f"params.yaml: pretrain.objective.kind is {params.objective.kind}, which {params.model.kind} cannot learn: "
            f"masked goes with {', '.join(models.MASKED)}, causal with the other kinds of pretrain.model.kind"
        )
    rows = len(packed) - params.training.held_out.rows
    asked = params.steps * params.training.batch_sequences
    if rows >= params.training.batch_sequences and asked > params.epochs * rows:
        raise HeadwaterError(
            f"params.yaml: pretrain.steps {params.steps} of {params.training.batch_sequences} rows need {asked:,}, and "
            f"{params.epochs} epoch{'s' * (params.epochs > 1)} of {packed.folder} give {params.epochs * rows:,}: lower "
            f"steps, bring more pages, or set pretrain.epochs to {-(-asked // rows)}"
        )
    for start in range(0, len(packed), _CHECKED):  # reading finds ids beyond the vocabulary: all of them, before step 1
        packed.rows(np.arange(start, min(start + _CHECKED, len(packed))))


if __name__ == "__main__":
    main(run, distributed=True)
