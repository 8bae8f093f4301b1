"""What fine-tuning comes to, whatever is learned: a model, rows to learn from, rows to measure on."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.examples import Example
from stages.core.progress import log
from stages.core.shards import Metrics
from stages.training import adapters, measuring
from stages.training.adapters import Adapter, Method, Tuning
from stages.training.data import Fixed, Padded
from stages.training.learner import Making
from stages.training.loop import Trained, train
from stages.training.settings import Training


class Lesson(NamedTuple):
    """A model with the head it needs, its rows, and what it is to learn of them."""

    model: Callable[[], Any]
    """Loads the model, each time anew."""
    learned: Fixed | Padded
    tested: Fixed | Padded | None
    """Rows to measure on; None: none."""
    making: Making
    """Gives the model its objective."""
    judge: Callable[[Any, Sequence[Example]], Metrics] | None
    """Figures of a trained model on some rows, besides their loss; None: there are no others."""
    read: tuple[Path, ...]
    """Files that the rows are made of."""
    counts: Metrics
    """Of what was read: ``in``, ``out`` and ``dropped``, and what else is worth knowing."""


class Course(NamedTuple):
    """How a lesson is learned."""

    training: Training
    epochs: int
    seed: int
    label: str
    """The stage's name, for progress."""
    method: Method
    adapter: Adapter
    describe: Callable[[Any, Path], None]
    """See :func:`stages.training.loop.train`."""

    def tuning(self, rows: Fixed | Padded) -> Tuning:
        """How the weights change in a run on these rows."""
        seen = self.epochs * (len(rows) - self.training.held_out.rows)
        return Tuning(self.method, self.adapter, math.ceil(seen / self.training.batch_sequences), self.seed)


def learn(lesson: Lesson, course: Course, rows: Fixed | Padded, area: Path) -> Trained:
    """Train on some rows of a lesson, from the last checkpoint in ``area`` if there is one.

    Raises:
        HeadwaterError: see :func:`stages.training.loop.train`.
    """
    model = lesson.model()
    tuning = course.tuning(rows)
    ranks = adapters.attach(model, tuning)
    return train(
        model,
        rows,
        course.training,
        steps=tuning.steps,
        seed=course.seed,
        area=area,
        label=course.label,
        making=lesson.making,
        ranks=ranks,
        describe=course.describe if course.method == "full" else None,
    )


def taught(lesson: Lesson, course: Course, trained: Trained) -> Any:
    """The model of a lesson with the weights that a run ended in."""
    model = lesson.model()
    adapters.attach(model, course.tuning(lesson.learned))
    model.load_state_dict(trained.weights, strict=False)  # those that are tied or frozen are there
    return model


def measure(lesson: Lesson, course: Course, model: Any, rows: Fixed | Padded) -> Metrics:
    """Loss and figures of a trained model on some rows."""
    found: Metrics = {"loss": measuring.loss(model, rows, course.training, lesson.making), "rows": len(rows)}
    judged = lesson.judge(model, rows.examples) if lesson.judge and isinstance(rows, Padded) else {}
    return found | judged


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
        rest = np.setdiff1d(np.arange(len(lesson.learned)), fold)
        trained = learn(lesson, course, lesson.learned.part(rest), area(f"fold {number}"))
        if trained.is_main:
            found.append(measure(lesson, course, taught(lesson, course, trained), lesson.learned.part(fold)))
    return measuring.spread(found) if found else {}
