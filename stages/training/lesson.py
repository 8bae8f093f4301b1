"""What fine-tuning comes to, whatever is learned: a model, rows to learn from, rows to measure on."""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.examples import Example
from stages.core.progress import log
from stages.core.shards import Metrics
from stages.training import adapters, distributed, measuring
from stages.training import model as models
from stages.training.adapters import Adapter, Method, Tuning
from stages.training.data import Fixed, Padded
from stages.training.learner import Making
from stages.training.loop import Trained, train
from stages.training.settings import Training


class Taught(NamedTuple):
    """A model that has learned."""

    model: Any
    """As it was trained, adapters in place."""
    folder: Path
    """As it was saved, with its tokenizer: what others load."""


Judge = Callable[[Taught, Sequence[Example]], Metrics]
"""Figures of a trained model on some rows, besides their loss."""


class Lesson(NamedTuple):
    """A model with the head it needs, its rows, and what it is to learn of them."""

    base: Path
    """Folder of the model that it begins with, or whose tokenizer it has."""
    model: Callable[[], Any]
    """Loads the model, each time anew."""
    learned: Padded
    tested: Padded | None
    """Rows to measure on; None: none."""
    packed: Callable[[Sequence[Example]], Fixed] | None
    """Puts several examples into a row, to be trained on; None: each is a row."""
    making: Making
    """Gives the model its objective."""
    judge: Judge
    stop: list[int]
    """Ids at which the model stops writing."""


class Course(NamedTuple):
    """How a lesson is learned."""

    training: Training
    epochs: int
    seed: int
    label: str
    """The stage's name, for progress."""
    method: Method
    adapter: Adapter

    def tuning(self, rows: int) -> Tuning:
        """How the weights change in a run on that many rows."""
        seen = self.epochs * (rows - self.training.held_out.rows)
        return Tuning(self.method, self.adapter, math.ceil(seen / self.training.batch_sequences), self.seed)


class Learned(NamedTuple):
    """What a run on a lesson ended in."""

    trained: Trained
    tuning: Tuning
    data: Fixed | Padded
    """What was trained on, packed or not."""


def learn(lesson: Lesson, course: Course, part: Padded, area: Path) -> Learned:
    """Train on some rows of a lesson, from the last checkpoint in ``area`` if there is one.

    Raises:
        HeadwaterError: see :func:`stages.training.loop.train`.
    """
    rows = lesson.packed(part.examples) if lesson.packed else part
    if lesson.packed:  # a batch is of these
        log(f"{course.label}: {len(part.examples):,} examples packed into {len(rows):,} rows")
    model, tuning = lesson.model(), course.tuning(len(rows))
    ranks = adapters.attach(model, tuning)
    describe = functools.partial(models.describe, tokenizer=lesson.base, stop=lesson.stop)
    trained = train(
        model,
        rows,
        course.training,
        steps=tuning.steps,
        seed=course.seed,
        area=area,
        label=course.label,
        making=lesson.making,
        ranks=ranks,
        describe=describe if course.method == "full" else None,
    )
    return Learned(trained, tuning, rows)


def save(lesson: Lesson, learned: Learned, folder: Path) -> None:
    """Write the model that a run ended in, with its tokenizer."""
    adapters.save(learned.trained.weights, learned.tuning, lesson.model(), folder, stop=lesson.stop)
    models.copy_tokenizer(lesson.base, folder)


def measure(lesson: Lesson, course: Course, learned: Learned, folder: Path, rows: Padded) -> Metrics:
    """Loss and figures on some rows of the model that a run ended in, which was saved to ``folder``."""
    model = lesson.model()
    adapters.attach(model, learned.tuning)
    model.load_state_dict(learned.trained.weights, strict=False)  # those that are tied or frozen are there
    distributed.moved(model)
    found: Metrics = {"loss": measuring.loss(model, rows, course.training, lesson.making), "rows": len(rows)}
    return found | lesson.judge(Taught(model, folder), rows.examples)


def cross_validate(lesson: Lesson, course: Course, folds: int, area: Callable[[str], Path]) -> Metrics:
    """Train ``folds`` models, each without another part of the rows, which it is measured on (k-fold cross-validation).

    Args:
        lesson: What is learned; the rows to measure on have no part in it.
        course: How.
        folds: How many.
        area: Folder of the work area for the checkpoints of a fold.

    Returns:
        Mean and standard deviation of every figure over the folds; empty but on the first process.
    """
    found: list[Metrics] = []
    for number, fold in enumerate(measuring.folds(len(lesson.learned), folds, course.seed), start=1):
        log(f"{course.label}: fold {number} of {folds}")
        rest, own = np.setdiff1d(np.arange(len(lesson.learned)), fold), area(f"fold {number}")
        learned = learn(lesson, course, lesson.learned.part(rest), own)
        if learned.trained.is_main:
            save(lesson, learned, own / "model")
            found.append(measure(lesson, course, learned, own / "model", lesson.learned.part(fold)))
    return measuring.spread(found) if found else {}
