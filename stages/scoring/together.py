"""Several models made one: the mean of their weights, or of their probabilities.

Weights of models that were tuned from the same one can be averaged (a uniform soup: Wortsman et al., arXiv 2203.05482),
which costs no more than one of them; probabilities of any that share a tokenizer, which costs as much as all.
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
    """Models that are evaluated like one, beside the others."""

    models: tuple[str, ...]
    """`pretrained`, `tuned`, and folders of models in incoming/evaluation; none evaluates none together."""
    mean: Literal["weights", "probabilities"]
    """What is averaged; weights need models of the same shape."""


def folders(params: Together, models: Mapping[str, Path], brought: Path) -> list[Path]:
    """The folders of the models that are made one.

    Args:
        params: Which.
        models: Those of the build, by name.
        brought: Folder of the others.

    Raises:
        HeadwaterError: one is not there.
    """
    found = [models[name] if name in models else brought / name for name in params.models]
    for name, folder in zip(params.models, found, strict=True):
        if not folder.is_dir():
            known = [*models, *(path.name for path in brought.iterdir() if path.is_dir())]
            raise HeadwaterError(f"params.yaml: evaluate.together.models: no model {name!r}{nearest(name, known)}")
    return found


def make(params: Together, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Make the model folders ``inputs`` one, in ``outputs["model"]``.

    Raises:
        HeadwaterError: their tokenizers differ, or the shapes of weights that are averaged.
    """
    first, target = inputs[0], outputs["model"]
    for other in inputs[1:]:
        if file_hash(other / "tokenizer.json") != file_hash(first / "tokenizer.json"):
            raise HeadwaterError(f"{other}: has another tokenizer than {first}: they cannot be evaluated together")
    target.mkdir(parents=True)
    if params.mean == "weights":
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


@torch.no_grad()
def average(folders: Sequence[Path]) -> Any:
    """The first model, with the mean of all their weights.

    Raises:
        HeadwaterError: their shapes differ, or one is an adapter that has not been merged.
    """
    for folder in folders:
        if adapted.is_adapter(folder):
            raise HeadwaterError(f"{folder}: an adapter has no weights of its own; set evaluate.together.mean")
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
