"""Fine-tune the model: on conversations, completions, classes, tags or numbers.

Conversations are made from the training documents (a heading asks, its section answers) or, like the rows of every
other task, brought by the user.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from accelerate import PartialState
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from stages.core import shards
from stages.core.examples import Example
from stages.core.params import nearest, params
from stages.core.progress import log as say
from stages.core.stage import Metrics, main
from stages.scoring import prediction
from stages.text import (
    answers,
    chat,
    completions,
    conversations,
    headings,
    labelled,
    preferences,
    sampling,
    tables,
    tokenizers,
)
from stages.text.augmentation import Augmentation
from stages.text.sampling import Given, Item
from stages.training import adapters, distillation, heads, lesson, preference
from stages.training import model as models
from stages.training.data import Fixed, Padded, Rows
from stages.training.learner import Learner
from stages.training.lesson import Course, Lesson
from stages.training.settings import Training


@params
class Params:
    task: str
    """What is learned. chat: the answers of conversations; completion: what completes a prompt; classify: the class of
    a text; tag: the tag of each word; score: the number of a text; preference: which of two answers is preferred;
    distill: what a larger model makes of the answers of conversations."""
    method: adapters.Method
    """Which weights are trained: full, all of them; otherwise those that PEFT's method adds, merged into the model
    where they can be and kept beside it."""
    adapter: adapters.Adapter
    """What a method other than full adds."""
    data: Literal["headings", "incoming"]
    """headings: conversations made from the training documents; incoming: the user's rows in incoming/finetune."""
    rows: sampling.Wanted
    """Which rows are learned from, and which are measured on."""
    packed: bool
    """Of chat and completion: whether several share a row of the model's context, or each is padded to the longest of
    its batch, which is made of such as are alike in length."""
    class_weights: Literal["none", "balanced"]
    """Of classify and tag: whether every row counts the same, or every class."""
    augmentation: Augmentation
    """Of classify, tag and score: how rows change while they are learned from."""
    folds: NonNegativeInt
    """Parts of the rows of which each is measured on by a model that learned the others (k-fold cross-validation),
    before the model that learns them all; 0 leaves that out."""
    epochs: PositiveInt
    """Times that each row is seen."""
    seed: int
    """Of all that is drawn: rows, their order and changes, the way a question is put, the weights of a new head."""
    preference: preference.Preference
    """Of preference: how it is learned."""
    distillation: distillation.Distillation
    """Of distill: who learns from whom."""
    headings: headings.Headings
    """How documents become conversations."""
    dropout: Annotated[float, Field(ge=0, lt=1)]
    """Share of values set to 0 while training, wherever the kind of model has dropout."""
    training: Training
    """How the model learns."""

    @model_validator(mode="after")
    def _fits(self) -> "Params":
        if self.task not in TASKS:
            raise ValueError(f"no such task: {self.task!r}{nearest(self.task, TASKS)}")
        if self.task not in ("chat", "distill") and self.data == "headings":
            raise ValueError(f"headings makes conversations, for chat or distill; {self.task} needs data: incoming")
        if self.folds == 1:
            raise ValueError("one fold leaves nothing to learn from: set folds to 0, or to 2 or more")
        return self


class Sources(NamedTuple):
    """What there is to learn from: the paths of :func:`run`."""

    model: Path
    documents: Path
    brought: Path


def run(
    params: Params, *, model: Path, documents: Path, conversations: Path, tuned: Path, log: Path, spikes: Path
) -> Metrics:
    """Make or read what is to be learned, train on it, and measure.

    Args:
        model: folder of the pretrained model, with its tokenizer
        documents: training documents, whose headings ask
        conversations: folder with the user's conversations or other rows
        tuned: folder for the fine-tuned model
        log: CSV file for the loss of every step
        spikes: JSON lines of the steps that were not learned from, with what their rows were made of
    """
    adapters.check(params.method, params.training)
    # The first process fills the work area, the others then find it filled. The loop's Accelerator joins this state.
    with PartialState(cpu=not torch.accelerator.is_available()).main_process_first():
        given = TASKS[params.task](params, Sources(model, documents, conversations))
    stop = [tokenizers.END_OF_TURN, tokenizers.END]
    describe = functools.partial(models.describe, tokenizer=model, stop=stop)
    course = Course(params.training, params.epochs, params.seed, "finetune", params.method, params.adapter, describe)
    kept: list[Path] = []

    def area(part: str) -> Path:
        kept.append(shards.area("finetune", shards.identity(run, params, [model, *given.read], part)))
        return kept[-1]

    figures: Metrics = {"folds": lesson.cross_validate(given, course, params.folds, area)} if params.folds else {}
    trained = lesson.learn(given, course, given.learned, area("all"))
    if trained.is_main:
        adapters.save(trained.weights, course.tuning(given.learned), given.model(), tuned, stop=stop)
        models.copy_tokenizer(model, tuned)
        log.write_text(trained.log, "utf-8")
        spikes.write_text(trained.spikes, "utf-8")
        shards.collect(keep=kept)
        if given.tested is not None:
            figures["test"] = lesson.measure(given, course, lesson.taught(given, course, trained), given.tested)
    figures |= {"first_loss": trained.first_loss, "rows": len(given.learned)}
    return trained.metrics | figures | given.counts


def _chat(params: Params, sources: Sources) -> Lesson:
    """Answers of conversations."""
    if params.data == "incoming":
        given = sampling.gather(sources.brought, params.rows, params.seed, conversations.conversation)
        return _answers(params, sources.model, given, chat.encode)
    if brought := tables.readable(sources.brought):
        say(f"finetune: {brought[0]} is not used: finetune.data is headings; set it to incoming")
    paths = shards.files(sources.documents, "*.parquet")
    return _answers(
        params, sources.model, headings.conversations(params.headings, paths, params.rows, params.seed), chat.encode
    )


def _completion(params: Params, sources: Sources) -> Lesson:
    """What completes prompts."""
    given = sampling.gather(sources.brought, params.rows, params.seed, completions.completion)
    return _answers(params, sources.model, given, completions.encode)


def _answers(params: Params, model: Path, given: Given[Item], encode: answers.Encode[Item]) -> Lesson:
    limit = models.writer(model, params.dropout).max_position_embeddings + 1
    limit -= adapters.room(params.method, params.adapter)
    found = answers.encoded(given, functools.partial(encode, tokenizers.load(model), limit=limit))

    def data(rows: Sequence[answers.Encoded]) -> Fixed | Padded:
        if not params.packed:
            return Padded(answers.apart(rows), tokenizers.PAD)
        inputs, labels, sources = answers.pack(rows, limit)
        apart = np.cumsum(inputs == tokenizers.BEGIN, axis=1) if params.training.documents_apart else None
        return Fixed(Rows(inputs, labels, apart), sources)

    tested = data(found.tested) if found.tested else None
    load = functools.partial(models.load, model, params.dropout)
    return Lesson(load, data(found.learned), tested, Learner, None, given.paths, found.counts)


def _preference(params: Params, sources: Sources) -> Lesson:
    """Which of two answers is preferred."""
    given = sampling.gather(sources.brought, params.rows, params.seed, preferences.pair)
    limit = models.writer(sources.model, params.dropout).max_position_embeddings + 1
    limit -= adapters.room(params.method, params.adapter)
    found = preferences.encoded(given, tokenizers.load(sources.model), limit)
    load = functools.partial(models.load, sources.model, params.dropout)
    making = functools.partial(preference.Chooser, beta=params.preference.beta)
    size = 2 * params.training.micro_batch
    area = shards.area("finetune", shards.identity(run, params, [sources.model, *given.paths], "reference"))
    learned, tested = (
        preference.against(examples, area / name, lambda: making(load(), params.training), tokenizers.PAD, size)
        for name, examples in (("learned.json", found.learned), ("tested.json", found.tested))
    )

    def judged(model: Any, examples: Sequence[Example]) -> Metrics:
        return preference.judge(making(model, params.training), examples, tokenizers.PAD, size)

    return Lesson(load, learned, tested if len(tested) else None, making, judged, given.paths, found.counts)


def _distill(params: Params, sources: Sources) -> Lesson:
    """What a teacher makes of answers."""
    lesson, told = _chat(params, sources), params.distillation
    teacher, student = (sources.brought / name if name else None for name in (told.teacher, told.student))
    own = models.writer(sources.model, 0.0)
    folders = tuple(folder for folder in (teacher, student) if folder)
    for folder in folders:
        models.check_agrees(folder, sources.model)
    new = functools.partial(
        models.build,
        told.architecture,
        vocab_size=own.vocab_size,
        context=own.max_position_embeddings,
        seed=params.seed,
    )
    load = functools.partial(models.load, student, params.dropout) if student else new
    making = functools.partial(distillation.Student, teacher=models.load(teacher or sources.model, 0.0), told=told)
    return lesson._replace(model=load, making=making, read=(*lesson.read, *folders))


def _labels(params: Params, sources: Sources) -> Lesson:
    """Classes of texts, tags of words, numbers of texts."""
    read, making, judge = _LABELS[params.task]
    tagged = params.task == "tag"
    given = sampling.gather(sources.brought, params.rows, params.seed, read)
    encode = functools.partial(
        labelled.encode_words if tagged else labelled.encode,
        tokenizers.load(sources.model),
        limit=models.described(sources.model, params.dropout).max_position_embeddings,
    )
    found = labelled.encoded(given, params.augmentation, params.rows.labels, params.seed, encode, tagged=tagged)
    names = found.names
    load = functools.partial(heads.load, sources.model, params.dropout, params.seed, names=names, tagging=tagged)
    if params.class_weights == "balanced" and names:
        making = functools.partial(making, weights=heads.balanced(found.learned, len(names)))
    learned = Padded(found.learned, tokenizers.PAD, found.redraw)
    tested = Padded(found.tested, tokenizers.PAD) if found.tested else None
    judged = functools.partial(judge, names=names)
    return Lesson(load, learned, tested, making, judged, given.paths, found.counts)


_LABELS: Mapping[str, tuple[Any, Any, Any]] = {
    "classify": (labelled.classes, heads.Classifier, prediction.classes),
    "tag": (labelled.tags, heads.Tagger, prediction.tags),
    "score": (labelled.scores, heads.Scorer, prediction.scores),
}
"""How a row is read, what the model learns, and how it is measured."""

TASKS: Mapping[str, Callable[[Params, Sources], Lesson]] = {
    "chat": _chat,
    "completion": _completion,
    "preference": _preference,
    "distill": _distill,
    **dict.fromkeys(_LABELS, _labels),
}
"""What can be learned, by name."""


if __name__ == "__main__":
    main(run, distributed=True)
