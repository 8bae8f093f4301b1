"""What each task trains: the model that it begins with, and what that is to do."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from stages.core import adapted
from stages.core.errors import HeadwaterError
from stages.core.examples import Example, Material
from stages.core.params import LesserShare, params
from stages.core.shards import Metrics
from stages.training import adapters, distillation, distributed, heads, preference
from stages.training import model as models
from stages.training.data import Padded
from stages.training.learner import Learner, Making
from stages.training.lesson import Taught
from stages.training.settings import Training


@params
class Teaching:
    """What learns, and how."""

    start: str
    """Folder of a model under incoming/finetune to begin with, such as one that was tuned before; empty: the pretrained
    model."""
    method: adapters.Method
    """Which weights are trained: full, all of them; otherwise those that PEFT's method adds, merged into the model
    where they can be and kept beside it."""
    adapter: adapters.Adapter
    """What a method other than full adds."""
    class_weights: Literal["none", "balanced"]
    """Of classify and tag: whether every row counts the same, or every class."""
    preference: preference.Preference
    """Of preference: how it is learned."""
    distillation: distillation.Distillation
    """Of distill: who learns from whom."""
    dropout: LesserShare
    """Share of values set to 0 while training, wherever the kind of model has dropout."""
    training: Training
    """How the model learns."""


class Job(NamedTuple):
    """A task to be learned."""

    task: str
    told: Teaching
    model: Path
    """Folder of the pretrained model."""
    brought: Path
    """Folder with the user's models."""
    seed: int
    """Of the weights of a new head, or of a new student."""

    @property
    def base(self) -> Path:
        """Folder of the model to begin with; of distill, the teacher unless another is named."""
        return self.brought / self.told.start if self.told.start else self.model

    @property
    def read(self) -> list[Path]:
        """Folders of all models that have a part in it."""
        own = self.told.distillation
        named = [own.teacher, own.student] if self.task == "distill" else []
        return [self.base, *(self.brought / name for name in named if name)]

    @property
    def room(self) -> int:
        """Tokens of a row that the model can read.

        Raises:
            HeadwaterError: there is no such model, it cannot write, or the method is none for the task.
        """
        told, writes = self.told, self.task not in HEADED
        adapters.check(told.method, told.training, writes=writes)
        if self.task == "distill" and told.method != "full" and not told.distillation.student:
            raise HeadwaterError(
                f"params.yaml: {told.method} leaves the weights of a new student as they were drawn: set method to "
                "full, or name a trained model in finetune.distillation.student"
            )
        for folder in self.read:
            if adapted.is_adapter(folder):
                raise HeadwaterError(f"{folder}: an adapter that is not merged; training begins with a whole model")
            models.check_agrees(folder, self.model, writes=writes)
        config = models.described(self.base, told.dropout)
        return int(config.max_position_embeddings) - adapters.room(told.method, told.adapter)


class Start(NamedTuple):
    """What training begins with."""

    model: Callable[[], Any]
    """Loads the model, each time anew."""
    making: Making
    """Gives it its objective."""
    learned: Padded
    tested: Padded | None


def start(job: Job, material: Material, pad: int, area: Path) -> Start:
    """The model of a task, its objective, and the rows with what that needs.

    Args:
        job: Which task, and how.
        material: What was read for it.
        pad: Id of padding.
        area: Folder of the work area, for what is computed once.
    """
    load, making = _STARTS[job.task](job, material)
    if job.task != "preference":
        tested = Padded(material.tested, pad) if material.tested else None
        return Start(load, making, Padded(material.learned, pad, material.redraw), tested)
    distributed.arithmetic(job.told.training)  # what the first model makes of the answers is a part of the result
    size = 2 * job.told.training.micro_batch
    learned, tested = (
        preference.against(rows, area / name, lambda: making(load(), job.told.training), pad, size)
        for name, rows in (("learned.json", material.learned), ("tested.json", material.tested))
    )
    return Start(load, making, learned, tested if len(tested) else None)


_Begin = tuple[Callable[[], Any], Making]


def _writer(job: Job, _: Material) -> _Begin:
    return functools.partial(models.load, job.base, job.told.dropout), Learner


def _chooser(job: Job, material: Material) -> _Begin:
    return _writer(job, material)[0], functools.partial(preference.Chooser, beta=job.told.preference.beta)


def _student(job: Job, _: Material) -> _Begin:
    own, config = job.told.distillation, models.writer(job.base, 0.0)
    teacher = models.load(job.brought / own.teacher if own.teacher else job.base, 0.0)
    shape = {"vocab_size": config.vocab_size, "context": config.max_position_embeddings, "seed": job.seed}
    load = functools.partial(models.build, own.architecture, **shape)
    if own.student:
        load = functools.partial(models.load, job.brought / own.student, job.told.dropout)
    return load, functools.partial(distillation.Student, teacher=teacher, told=own)


def _headed(making: Any, job: Job, material: Material) -> _Begin:
    names, told = material.names, job.told
    tagging = making is heads.Tagger
    load = functools.partial(heads.load, job.base, told.dropout, job.seed, names=names, tagging=tagging)
    if told.class_weights == "balanced" and names:
        making = functools.partial(making, weights=heads.balanced(material.learned, len(names)))
    return load, making


HEADED: Mapping[str, type[Any]] = {"classify": heads.Classifier, "tag": heads.Tagger, "score": heads.Scorer}
"""What learns where the model gets a head of its own, and writes nothing, by task."""

_STARTS: Mapping[str, Callable[[Job, Material], _Begin]] = {
    "chat": _writer,
    "completion": _writer,
    "preference": _chooser,
    "distill": _student,
    **{name: functools.partial(_headed, making) for name, making in HEADED.items()},
}


def preferred(job: Job, making: Any, pad: int, taught: Taught, examples: Sequence[Example]) -> Metrics:
    """How a model that learned preferences tells answers apart, see :func:`stages.training.preference.judge`."""
    return preference.judge(making(taught.model, job.told.training), examples, pad, 2 * job.told.training.micro_batch)
