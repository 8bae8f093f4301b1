"""Train a language model on the packed tokens, from nothing or from a model that is there."""

import functools
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveInt, model_validator

from stages.core import collection, shards
from stages.core.errors import HeadwaterError
from stages.core.order import Order
from stages.core.params import params
from stages.core.stage import Metrics, main
from stages.core.tokens import DESCRIPTION, TokenShards
from stages.text import tokenizers
from stages.training import distributed, snapshot
from stages.training import model as models
from stages.training import packed as tokens_of
from stages.training.data import Data, Earlier
from stages.training.learner import Learner
from stages.training.loop import train
from stages.training.objective import Objective, Reader, check_kind
from stages.training.pairs import PairLearner, Pairs
from stages.training.settings import Training


@params
class Params:
    seed: int
    """Of the first weights, of the order of the data and of what is drawn in them."""
    steps: PositiveInt
    """Length of the run."""
    snapshots: tuple[Annotated[float, Field(gt=0, lt=1)], ...]
    """Shares of the run after which the model is kept, for learning curves; each costs a checkpoint in the work area
    and a model among the results."""
    epochs: PositiveInt
    """Most times that the data are gone through, each in another order; `steps` that need more are refused."""
    init_from: str
    """Folder of a model under incoming/pretrain that training continues from; empty: from nothing."""
    replay: Earlier
    """What the model is reminded of."""
    model: models.Architecture
    """The model's shape; one that is continued has its own, and takes `dropout` alone from here."""
    objective: Objective
    """What it learns."""
    training: Training
    """How it learns."""

    @model_validator(mode="after")
    def _pairs(self) -> "Params":
        if self.objective.next_sentence and (self.training.documents_apart or self.training.batch_sequences == 1):
            raise ValueError("next_sentence pairs the rows of a batch: it needs two, and documents_apart: false")
        return self


def run(
    params: Params,
    *,
    tokens: Path,
    tokenizer: Path,
    earlier: Path,
    model: Path,
    snapshots: Path,
    log: Path,
    spikes: Path,
) -> Metrics:
    """Train and write the model.

    Args:
        tokens: folder of packed token shards
        tokenizer: folder of the tokenizer that made them
        earlier: folder with models to continue from and the tokens that they were trained on
        model: folder for the model, with the tokenizer's files
        snapshots: folder for models of earlier steps, each named for its step
        log: CSV file for the loss of every step
        spikes: JSON list of the steps that were not learned from, with their documents
    """
    folders = [tokens, *([earlier / params.replay.tokens] if params.replay.tokens else [])]
    read = [tokens_of.opened(folder, tokenizers.file(tokenizer)) for folder in folders]
    # A description has the hash of each shard.
    inputs = [*(one.folder / DESCRIPTION for one in read), tokenizer]
    if params.init_from:
        check_kind(params.objective, models.configured(earlier / params.init_from).model_type)
        inputs.append(earlier / params.init_from)
    area = shards.area("pretrain", shards.identity(run, params, inputs))
    start, data = _start(params, read[0], tokenizer, earlier), _data(params, *read)
    tokens_of.check_length(params.steps, params.epochs, len(data), params.training, tokens)
    for one in read:
        tokens_of.check_shards(one, *distributed.place())
    config, stop, control = start.config, [tokenizers.END], params.objective.control_tokens
    kept = sorted({max(1, round(share * params.steps)) for share in params.snapshots} - {params.steps})
    trained = train(
        start,
        data,
        params.training,
        steps=params.steps,
        seed=params.seed,
        area=area,
        label="pretrain",
        making=PairLearner if params.objective.next_sentence else Learner,
        describe=functools.partial(models.describe, tokenizer=tokenizer, stop=stop, control=control),
        snapshots=kept,
    )
    if not trained.is_main:
        return trained.metrics
    if shards.identity(run, params, inputs) != area.name:
        raise HeadwaterError(f"{' or '.join(map(str, inputs))} changed while it was trained on: run again")
    for one in read:
        tokens_of.check_shards(one)
    models.save(config, trained.weights, model, stop=stop)
    models.copy_tokenizer(tokenizer, model, control)
    reached = [step for step in kept if step < trained.metrics["steps"]]
    averaged = params.training.averaging.method == "ema"  # of uniform, there is none before its first point
    snapshot.publish(area, reached, snapshots, averaged=averaged)
    log.write_text(trained.log, "utf-8")
    spikes.write_text(trained.spikes, "utf-8")
    collection.collect(keep=[area])
    return trained.metrics


def _start(params: Params, packed: TokenShards, tokenizer: Path, earlier: Path) -> Any:
    """The model that training begins with."""
    objective = params.objective
    if params.init_from:
        folder = earlier / params.init_from
        torch.manual_seed(params.seed)
        return tokens_of.continued(folder, tokenizers.file(tokenizer), packed, objective, params.model.dropout)
    check_kind(objective, params.model.kind)
    size = packed.vocab_size + len(objective.control_tokens)
    return models.build(
        params.model, vocab_size=size, context=packed.context, seed=params.seed, pairs=objective.next_sentence
    )


def _data(params: Params, packed: TokenShards, old: TokenShards | None = None) -> Data:
    """What it is trained on, and reminded of."""
    ids = {"begin": tokenizers.BEGIN, "end": tokenizers.END, "pad": packed.pad_id}
    apart = params.training.documents_apart
    size, first = packed.vocab_size, len(tokenizers.CONTROL)
    reader = Reader(params.objective, seed=params.seed, vocab_size=size, first_text=first, documents_apart=apart, **ids)
    data: Data = tokens_of.Packed(packed, reader)
    if old is not None:
        data = tokens_of.reminded(packed, old, reader, params.replay.share, params.seed)
    if params.objective.next_sentence:
        order = Order(len(data), params.training.held_out.rows, params.seed)
        data = Pairs(data, order, params.training.batch_sequences, **ids)
    return data


if __name__ == "__main__":
    main(run, distributed=True)
