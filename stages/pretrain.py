"""Train a language model from nothing on the packed tokens."""

from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.stage import Metrics, main
from stages.core.tokens import TokenShards
from stages.training import model as models
from stages.training.loop import Rows, Training, train
from stages.training.loss import IGNORED
from stages.training.order import Integers

_CHECKED = 4096  # rows at a time


@params
class Params:
    seed: int
    """Of the first weights and of the order of the data."""
    steps: PositiveInt
    """Length of the run; past the last row the data begin again in another order."""
    model: models.Architecture
    """The model's shape."""
    training: Training
    """How it learns."""


class Packed:
    """Packed rows as training data: every token predicts the next, padding is no target."""

    def __init__(self, shards: TokenShards) -> None:
        self.shards = shards

    def __len__(self) -> int:
        return len(self.shards)

    def rows(self, indices: Integers) -> Rows:
        """Those rows, shape (len(indices), context)."""
        tokens = self.shards.rows(indices)
        labels = tokens[:, 1:]
        return Rows(tokens[:, :-1], np.where(labels == self.shards.pad_id, IGNORED, labels))


def run(params: Params, *, tokens: Path, tokenizer: Path, model: Path, log: Path) -> Metrics:
    """Train and write the model.

    Args:
        tokens: folder of packed token shards
        tokenizer: folder of the tokenizer that made them
        model: folder for the model, with the tokenizer's files
        log: CSV file for the loss of every step
    """
    packed = TokenShards(tokens)
    _check(packed, tokens, tokenizer)
    area = shards.area("pretrain", shards.identity(run, params, [tokens, tokenizer]))
    fresh = models.build(params.model, vocab_size=packed.vocab_size, context=packed.context, seed=params.seed)
    config = fresh.config
    trained = train(
        fresh,
        Packed(packed),
        params.training,
        steps=params.steps,
        seed=params.seed,
        area=area,
        label="pretrain",
    )
    if trained.is_main:
        models.save(config, trained.weights, model, stop=[models.SPECIAL["eos_token_id"]])
        models.copy_tokenizer(tokenizer, model)
        log.write_text(trained.log, "utf-8")
        shards.collect(keep=[area])
    return trained.metrics


def _check(packed: TokenShards, tokens: Path, tokenizer: Path) -> None:
    size = models.vocabulary(tokenizer)
    if size != packed.vocab_size:
        raise HeadwaterError(
            f"{tokens} was packed with a vocabulary of {packed.vocab_size}, {tokenizer} has one of {size}: "
            "run `dvc repro pack`"
        )
    for start in range(0, len(packed), _CHECKED):  # reading finds ids beyond the vocabulary: all of them, before step 1
        packed.rows(np.arange(start, min(start + _CHECKED, len(packed))))


if __name__ == "__main__":
    main(run, distributed=True)
