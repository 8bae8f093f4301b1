"""Models as folders: whole ones, and those that are an adapter of PEFT with its base.

What fine-tuning writes, and all who read a model load with :func:`load`::

    model/                     whole: config.json, *.safetensors, tokenizer; what transformers loads
    model/adapter/             what was trained, where it is merged into the whole (LoRA, AdaLoRA, IA³)

    model/                     what cannot be merged (prefix and prompt tuning): adapter_config.json,
                               adapter_model.safetensors, tokenizer
    model/base/                the model that it goes with

    model/                     several whose probabilities are averaged: ensemble.json with their folders below it

An adapter names its base by what that holds, in `revision`: it loads only with the same weights, wherever they lie.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.core.errors import HeadwaterError

ADAPTER, BASE = "adapter", "base"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ENSEMBLE = "ensemble.json"

HEADED = ("ForSequenceClassification", "ForTokenClassification")
"""How the architectures of models are named that give a text, or each of its tokens, a class or a number."""


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter, not a whole model."""
    return (folder / CONFIG).is_file()


def members(folder: Path) -> list[Path]:
    """The folders of the models that one is made of; none where it is itself one."""
    described = folder / ENSEMBLE
    if not described.is_file():
        return []
    return [folder / name for name in json.loads(described.read_text("utf-8"))["models"]]


def configured(folder: Path) -> Path:
    """The folder with the configuration of a model: its own, its base's, or that of the first of several."""
    for first in members(folder)[:1]:
        return configured(first)
    return folder / BASE if is_adapter(folder) else folder


def content(model: Any) -> str:
    """A hash of a model's weights in float32 and their names, hexadecimal."""
    digest = hashlib.sha256()
    for name, weights in sorted(model.named_parameters()):
        digest.update(f"{name} {list(weights.shape)}\n".encode())
        digest.update(weights.detach().cpu().float().contiguous().numpy())
    return digest.hexdigest()


def headed(folder: Path) -> str:
    """How the name of a model ends that gives classes or numbers, by its configuration; empty: it does not."""
    described = configured(folder) / "config.json"
    named = json.loads(described.read_text("utf-8")).get("architectures") if described.is_file() else None
    return next((ending for ending in HEADED if (named or [""])[0].endswith(ending)), "")


def load(folder: Path, **options: Any) -> Any:
    """The causal language model of a folder, or its model for classes, tags or numbers.

    Args:
        folder: See the module.
        options: For ``from_pretrained`` of transformers.

    Raises:
        HeadwaterError: there is no such folder, or an adapter with another base.
        OSError, ValueError: transformers finds no model that it can load.
    """
    import transformers

    if not folder.is_dir():  # else transformers asks Hugging Face for its adapter, whatever it is told
        raise HeadwaterError(f"{folder}: no model here (there is no such folder)")
    family = getattr(transformers, f"AutoModel{headed(folder) or 'ForCausalLM'}")
    if several := members(folder):
        from stages.core.ensemble import Ensemble, Heads

        return (Heads if headed(folder) else Ensemble)([load(one, **options) for one in several])
    options = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False} | options
    if not is_adapter(folder):
        return family.from_pretrained(folder, **options)
    wrapped = put_on(family.from_pretrained(folder / BASE, **options), folder)
    # The virtual tokens take their part of the context.
    wrapped.config.max_position_embeddings -= wrapped.active_peft_config.num_virtual_tokens
    return wrapped


def device() -> Any:
    """Where a model that was read computes: on an accelerator, if there is one."""
    import torch

    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def put_on(base: Any, folder: Path) -> Any:
    """A model with the adapter of a folder on it, as PEFT wraps it.

    Raises:
        HeadwaterError: the adapter was trained on another model.
    """
    import peft

    wanted = json.loads((folder / CONFIG).read_text("utf-8")).get("revision")
    if wanted != content(base):
        raise HeadwaterError(f"{folder}: an adapter for another base than {base.config.name_or_path or 'this one'}")
    with quiet():
        return peft.PeftModel.from_pretrained(base, str(folder))


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warning of transformers 5.23 that PEFT 0.21 asks for something by its old name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield
