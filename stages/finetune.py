"""Fine-tune the model on conversations, learning the answers only (supervised fine-tuning).

The conversations are made from the training documents (a heading asks, its section answers), or brought by the user.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from accelerate import PartialState
from pydantic import Field, PositiveInt

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.progress import log as say
from stages.core.stage import Metrics, main
from stages.text import chat, headings, tokenizers
from stages.text import conversations as talk
from stages.text.conversations import Conversation
from stages.training import model as models
from stages.training.data import Data, Fixed, Rows
from stages.training.learner import Learner, Making
from stages.training.loop import train
from stages.training.loss import IGNORED
from stages.training.settings import Training


@params
class Params:
    task: Literal["chat"]
    """What is learned. chat: the answers of conversations."""
    data: Literal["headings", "incoming"]
    """headings: made from the training documents; incoming: the user's JSON lines in incoming/finetune."""
    max_conversations: PositiveInt
    """Most conversations to learn from; of more, a sample is drawn by seed."""
    epochs: PositiveInt
    """Times that each is seen."""
    seed: int
    """Of the sample, of the way each question is put and of the order of the data."""
    headings: headings.Headings
    """How documents become conversations."""
    dropout: Annotated[float, Field(ge=0, lt=1)]
    """Share of values set to 0 while training, wherever the kind of model has dropout."""
    training: Training
    """How the model learns."""


class Sources(NamedTuple):
    """What there is to learn from."""

    model: Path
    """Folder of the pretrained model, with its tokenizer."""
    documents: Path
    """Training documents, whose headings ask."""
    conversations: Path
    """Folder with what the user brings."""


class Lesson(NamedTuple):
    """What a task comes to: a model with the head it needs, its rows, and what it is to learn of them."""

    model: Any
    data: Data
    making: Making
    """Gives the model its objective."""
    read: tuple[Path, ...]
    """Files that the rows are made of."""
    counts: Metrics
    """Of what was read: ``in``, ``out`` and ``dropped``, and what else is worth knowing."""


def run(
    params: Params, *, model: Path, documents: Path, conversations: Path, tuned: Path, log: Path, spikes: Path
) -> Metrics:
    """Make or read what is to be learned, and train on it.

    Args:
        model: folder of the pretrained model, with its tokenizer
        documents: training documents, whose headings ask
        conversations: folder with the user's conversations, *.jsonl
        tuned: folder for the fine-tuned model
        log: CSV file for the loss of every step
        spikes: JSON lines of the steps that were not learned from, with what their rows were made of
    """
    lesson = TASKS[params.task](params, Sources(model, documents, conversations))
    seen = params.epochs * (len(lesson.data) - params.training.held_out.rows)
    area = shards.area("finetune", shards.identity(run, params, [model, *lesson.read]))
    trained = train(
        lesson.model,
        lesson.data,
        params.training,
        steps=math.ceil(seen / params.training.batch_sequences),
        seed=params.seed,
        area=area,
        label="finetune",
        making=lesson.making,
    )
    if trained.is_main:
        stop = [tokenizers.END_OF_TURN, tokenizers.END]
        models.save(lesson.model.config, trained.weights, tuned, stop=stop)
        models.copy_tokenizer(model, tuned)
        log.write_text(trained.log, "utf-8")
        spikes.write_text(trained.spikes, "utf-8")
        shards.collect(keep=[area])
    return trained.metrics | {"first_loss": float(trained.log.splitlines()[1].split(",")[2])} | lesson.counts


def _chat(params: Params, sources: Sources) -> Lesson:
    """Answers of conversations, packed."""
    paths = shards.files(sources.conversations, "*.jsonl")
    if params.data == "headings":
        if paths:
            say(f"finetune: {paths[0]} is not used: finetune.data is headings; set it to incoming")
        paths = shards.files(sources.documents, "*.parquet")
    made = _headings(params, paths) if params.data == "headings" else _incoming(paths, sources.conversations)
    chosen = talk.draw(made.found, params.max_conversations, params.seed)
    pretrained = models.load(sources.model, params.dropout)
    if pretrained.config.model_type in models.MASKED:
        raise HeadwaterError(
            f"{sources.model}: a {pretrained.config.model_type} fills masks and cannot answer; train another"
        )
    context = pretrained.config.max_position_embeddings
    tokenizer = tokenizers.load(sources.model)
    encoded = [chat.encode(tokenizer, one.messages, limit=context + 1) for one in chosen]
    fitting = [one for one in encoded if one]
    origins = [one.source for one, ids in zip(chosen, encoded, strict=True) if ids]
    made.dropped |= {"not_sampled": len(made.found) - len(chosen), "too_long": len(chosen) - len(fitting)}
    if not fitting:
        reasons = ", ".join(f"{reason} {count}" for reason, count in made.dropped.items() if count)
        raise HeadwaterError(f"no conversation to learn from, of {made.seen} seen" + f" ({reasons})" * bool(reasons))
    inputs, labels, members = chat.pack(fitting, context + 1, IGNORED)
    documents = np.cumsum(inputs == tokenizers.BEGIN, axis=1) if params.training.documents_apart else None
    counts = {"in": made.seen, "out": len(fitting), "dropped": made.dropped, "cut": sum(one.cut for one in fitting)}
    counts |= {"rows": len(inputs), "answer_tokens": int((labels != IGNORED).sum())}
    data = Fixed(Rows(inputs, labels, documents), [[origins[number] for number in row] for row in members])
    return Lesson(pretrained, data, Learner, tuple(paths), counts)


@dataclasses.dataclass
class _Made:
    found: list[Conversation]
    seen: int
    dropped: dict[str, int]


def _headings(params: Params, paths: Sequence[Path]) -> _Made:
    units = [shards.Unit(inputs=(path,), outputs={"sections": f"{path.stem}.jsonl"}) for path in paths]
    # The first process fills the work area, the others then find it filled. The loop's Accelerator joins this state.
    with PartialState(cpu=not torch.accelerator.is_available()).main_process_first():
        built = shards.build(headings.collect, params.headings, units, label="finetune-headings", count="sections")
    found, dropped = headings.ask(
        headings.load([one.outputs["sections"] for one in built]), params.headings.questions, params.seed
    )
    counts = shards.total(one.metrics for one in built)
    return _Made(found, counts.get("in", 0), {**counts.get("dropped", {}), **dropped})


def _incoming(paths: Sequence[Path], folder: Path) -> _Made:
    if not paths:
        raise HeadwaterError(f"{folder} holds no .jsonl; put conversations there, or set finetune.data to headings")
    found = list(talk.read(paths))
    return _Made(found, len(found), {})


TASKS: Mapping[str, Callable[[Params, Sources], Lesson]] = {"chat": _chat}
"""What can be learned, by name."""


if __name__ == "__main__":
    main(run, distributed=True)
