"""Several models made one: the mean of their weights, or of their probabilities.

They write, or give classes, tags or numbers. Weights of models that were tuned from the same one can be averaged (a
uniform soup: Wortsman et al., arXiv 2203.05482), which costs no more than one of them; probabilities of any that share
a tokenizer and labels, which costs as much as all.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from stages.core import adapted
from stages.core.errors import HeadwaterError
from stages.core.fingerprint import file_hash
from stages.core.params import nearest, params
from stages.core.shards import Metrics


@params
class Together:
    """Models that are measured like one."""

    models: tuple[str, ...]
    """By name; none measures none together. Of evaluate, `pretrained`, `tuned` and folders of models in
    incoming/evaluation. Of finetune, `tuned`, `folds` (those of the cross-validation) and folders in
    incoming/finetune, such as copies of data/finetune/model that were tuned with other seeds."""
    mean: Literal["weights", "probabilities"]
    """What is averaged; weights need models of the same shape. Of models that give numbers, probabilities are these."""


def folders(wanted: Together, stage: str, models: Mapping[str, Sequence[Path]], brought: Path) -> list[Path]:
    """The folders of the models that are made one.

    Args:
        wanted: Which.
        stage: Whose parameters say so.
        models: Those of the build, by name.
        brought: Folder of the others.

    Raises:
        HeadwaterError: one is not there.
    """
    found: list[Path] = []
    for name in wanted.models:
        if name not in models and not (brought / name).is_dir():
            known = [*models, *(path.name for path in brought.iterdir() if path.is_dir())]
            raise HeadwaterError(f"params.yaml: {stage}.together.models: no model {name!r}{nearest(name, known)}")
        found += models.get(name, [brought / name])
    return found


def make(wanted: Together, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Make the model folders ``inputs`` one, in ``outputs["model"]``.

    Raises:
        HeadwaterError: they are not :func:`alike`, or the shapes of weights differ that are averaged.
    """
    alike(inputs)
    first, target = inputs[0], outputs["model"]
    target.mkdir(parents=True)
    if wanted.mean == "weights":
        average(inputs).save_pretrained(target)
    else:
        for number, folder in enumerate(inputs):
            shutil.copytree(folder, target / f"{number}")
        names = [f"{number}" for number in range(len(inputs))]
        (target / adapted.ENSEMBLE).write_text(json.dumps({"models": names}) + "\n", "utf-8")
    for path in sorted(first.iterdir()):
        if "token" in path.name or path.name == "chat_template.jinja":
            shutil.copyfile(path, target / path.name)
    return {"in": len(inputs), "out": len(inputs), "dropped": {}}


def alike(inputs: Sequence[Path]) -> None:
    """Raises:
    HeadwaterError: tokenizers of models differ, or what they tell apart; names the two.
    """
    asked = (("another tokenizer", _tokenizer), ("another head", adapted.headed), ("other labels", _labels))
    for other in inputs[1:]:
        for what, told in asked:
            if told(other) != told(inputs[0]):
                raise HeadwaterError(f"{other}: has {what} than {inputs[0]}: they cannot be measured together")


def _tokenizer(folder: Path) -> str:
    path = folder / "tokenizer.json"
    return file_hash(path) if path.is_file() else ""


def _labels(folder: Path) -> Any:
    """Of classes, by number; in the order in which the model gives them."""
    path = adapted.configured(folder) / "config.json"
    return json.loads(path.read_text("utf-8")).get("id2label") if path.is_file() else None


@torch.no_grad()
def average(folders: Sequence[Path]) -> Any:
    """The first model, with the mean of all their weights.

    Raises:
        HeadwaterError: their shapes differ, or one is an adapter that has not been merged.
    """
    for folder in folders:
        if adapted.is_adapter(folder):
            raise HeadwaterError(f"{folder}: an adapter has no weights of its own: set together.mean to probabilities")
    model = adapted.load(folders[0], dtype=torch.float32)
    held = dict(model.named_parameters())
    totals = {name: weights.double() for name, weights in held.items()}
    for folder in folders[1:]:
        found = dict(adapted.load(folder, dtype=torch.float32).named_parameters())
        if {name: one.shape for name, one in found.items()} != {name: one.shape for name, one in held.items()}:
            raise HeadwaterError(f"{folder}: has weights of other shapes than {folders[0]}; average probabilities")
        for name, weights in found.items():
            totals[name] += weights
    for name, weights in held.items():
        weights.copy_(totals[name] / len(folders))
    return model
