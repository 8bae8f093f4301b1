"""Fine-tune the model: on conversations, completions, classes, tags, numbers, preferences, or what a larger one says.

:mod:`stages.text.material` reads what is learned, from the crawl or from what the user brings;
:mod:`stages.training.tasks` says what is trained on it, and :mod:`stages.scoring` measures what came of it.
"""

import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import NonNegativeInt, PositiveInt, model_validator

from stages.core import adapted, collection, shards
from stages.core.examples import Example, Material
from stages.core.params import params
from stages.core.stage import Metrics, main
from stages.scoring import prediction, together, writing
from stages.text import answers, material, tokenizers
from stages.training import distributed, lesson, tasks
from stages.training import seen as batches
from stages.training.data import Fixed, Rows
from stages.training.lesson import Course, Judge, Lesson, Taught
from stages.training.tasks import Job, Start


@params
class Params(material.Reading, tasks.Teaching):
    packed: bool
    """Of tasks in which the model writes: whether several rows share one of the model's context, or each is padded to
    the longest of its batch, which is made of such as are alike in length."""
    epochs: PositiveInt
    """Times that each row is seen."""
    folds: NonNegativeInt
    """Parts of the rows of which each is measured on by a model that learned the others (k-fold cross-validation),
    before the model that learns them all; 0 leaves that out."""
    together: together.Together
    """Several models as one, measured on the rows that are held back."""

    @model_validator(mode="after")
    def _more(self) -> "Params":
        if self.folds == 1:
            raise ValueError("one fold leaves nothing to learn from: set folds to 0, or to 2 or more")
        if self.together.models and not (self.rows.test.file or self.rows.test.share):
            raise ValueError("together: no rows to measure on: set rows.test")
        if "folds" in self.together.models and not self.folds:
            raise ValueError("together: there are no folds: set folds to 2 or more")
        if self.together.models and (self.task, self.together.mean) == ("preference", "probabilities"):
            raise ValueError("together: preference compares whole answers: set mean to weights")
        return self


def run(
    params: Params,
    *,
    model: Path,
    documents: Path,
    tokens: Path,
    conversations: Path,
    tuned: Path,
    log: Path,
    spikes: Path,
    seen: Path,
) -> Metrics:
    """Make or read what is to be learned, train on it, and measure.

    Args:
        model: folder of the pretrained model, with its tokenizer
        documents: training documents, whose headings ask
        tokens: folder of the packed tokens that it was pretrained on
        conversations: folder with the user's conversations, other rows, and models
        tuned: folder for the fine-tuned model
        log: CSV file for the loss of every step
        spikes: JSON list of the steps that were not learned from, with what their rows were made of
        seen: table of what each batch was made of
    """
    job = Job(params.task, params, model, conversations, params.seed)
    kept: list[Path] = []

    def area(part: str) -> Path:
        kept.append(shards.area("finetune", shards.identity(run, params, [*job.read, *given.paths], part)))
        return kept[-1]

    # The first process fills the work area, the others then find it filled.
    with distributed.together(), distributed.joined().main_process_first():
        limit, sources = job.room, material.Sources(documents, tokens, conversations)
        given = material.read(params, sources, tokenizers.load(job.base), limit)
    start = tasks.start(job, given, tokenizers.PAD, area("start"))
    taught = _lesson(params, job, start, given)
    course = Course(params.training, params.epochs, params.seed, "finetune", params.method, params.adapter)
    known = {"tuned": [tuned], "folds": [area(f"fold {n + 1}") / "model" for n in range(params.folds)]}
    several = together.folders(params.together, "finetune", known, conversations)  # before hours of training
    figures: Metrics = {"folds": lesson.cross_validate(taught, course, params.folds, area)} if params.folds else {}
    learned = lesson.learn(taught, course, taught.learned, area("all"))
    trained = learned.trained
    if trained.is_main:
        lesson.save(taught, learned, tuned)
        log.write_text(trained.log, "utf-8")
        spikes.write_text(trained.spikes, "utf-8")
        batches.write(seen, learned.data, params.training, params.seed, learned.tuning.steps, trained.spikes)
        collection.collect(keep=kept)
        if taught.tested is not None:
            figures["test"] = lesson.measure(taught, course, learned, tuned, taught.tested)
            if several:
                figures["together"] = _together(params, taught, [tuned, *several], area("together") / "model")
    figures |= {"first_loss": trained.first_loss, "rows": len(learned.data)}
    return trained.metrics | figures | given.counts


def _lesson(params: Params, job: Job, start: Start, given: Material) -> Lesson:
    """A task with how its rows are packed and how it is measured."""
    packing = None
    if params.packed and params.task not in (*tasks.HEADED, "preference"):
        packing = functools.partial(_packed, width=job.room, apart=params.training.documents_apart)
    stop = [tokenizers.END_OF_TURN, tokenizers.END]
    judge = _judge(params, job, start, given)
    return Lesson(job.base, start.model, start.learned, start.tested, packing, start.making, judge, stop)


def _together(params: Params, taught: Lesson, models: Sequence[Path], made: Path) -> Metrics:
    """Figures of all but the first of some models, which are to be like that one, as one model in ``made``."""
    together.alike(models)
    if made.exists():
        shutil.rmtree(made)
    together.make(params.together, models[1:], {"model": made})
    whole = Taught(distributed.moved(adapted.load(made, dtype=torch.float32)), made)
    assert taught.tested is not None
    return {"models": len(models) - 1, **taught.judge(whole, taught.tested.examples)}


def _packed(examples: Sequence[Example], width: int, *, apart: bool) -> Fixed:
    block = answers.pack(examples, width)
    return Fixed(Rows(block.inputs, block.labels, block.documents if apart else None), block.sources)


def _judge(params: Params, job: Job, start: Start, given: Material) -> Judge:
    if params.task == "preference":
        return functools.partial(tasks.preferred, job, start.making, tokenizers.PAD)
    if params.task in tasks.HEADED:
        told = {"classify": prediction.classes, "tag": prediction.tags, "score": prediction.scores}[params.task]
        return lambda taught, examples: told(taught.model, examples, given.names)
    written = writing.perplexity if params.data == "tokens" else writing.texts
    return lambda taught, examples: written(taught.folder, examples)


if __name__ == "__main__":
    main(run, distributed=True)
