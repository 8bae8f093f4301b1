"""The format that `transformers` loads, and vLLM with it: safetensors, configuration, tokenizer, chat template."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.release.parity import Loaded

# What makes up a tokenizer on disk; `save_pretrained` would leave out the sentencepiece model and write its own view.
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
_SENTENCEPIECE = "tokenizer.model"  # a byte-level tokenizer has none
_TOKENIZER_OPTIONAL = ("chat_template.jinja", "special_tokens_map.json", "added_tokens.json")


@params
class Settings:
    """How the folder is written, and how close it must come."""

    max_shard_size: str
    """Size above which the weights are split into several files, such as 5GB."""
    tolerance: float
    """Largest difference of a logit from the original's, absolute."""


def write(source: Path, target: Path, settings: Settings, name: str) -> list[Path]:
    """Write the model folder ``source`` to ``target``; gives the files written.

    Raises:
        HeadwaterError: the source lacks a tokenizer file.
    """
    target.mkdir(parents=True, exist_ok=True)
    before = set(target.iterdir())
    model = AutoModelForCausalLM.from_pretrained(source, dtype="auto", local_files_only=True)
    model.save_pretrained(target, max_shard_size=settings.max_shard_size)
    for file in (*_TOKENIZER, *_model(source)):
        if not (source / file).is_file():
            raise HeadwaterError(f"{source}: {file} is missing, so the tokenizer cannot be exported")
        shutil.copyfile(source / file, target / file)
    for file in _TOKENIZER_OPTIONAL:
        if (source / file).is_file():
            shutil.copyfile(source / file, target / file)
    written = sorted(set(target.iterdir()) - before)
    for path in written:
        path.chmod(0o644)  # safetensors are written for the owner alone
    return written


def _model(source: Path) -> list[str]:
    """The sentencepiece model where the tokenizer is one: it spells in bytes what it has no piece for."""
    described = json.loads((source / _TOKENIZER[0]).read_text("utf-8")) if (source / _TOKENIZER[0]).is_file() else {}
    return [_SENTENCEPIECE] if described.get("model", {}).get("byte_fallback") else []


def load(files: list[Path]) -> Loaded:
    """The exported model as its users load it."""
    return load_folder(files[0].parent)


def load_folder(folder: Path) -> Loaded:
    """A model folder as `transformers` loads it, in float32.

    Raises:
        HeadwaterError: there is no model in the folder.
    """
    if not (folder / "config.json").is_file():
        raise HeadwaterError(f"{folder}: no model here (config.json is missing); run `dvc repro`")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return Loaded(model, lambda text: encode(tokenizer, text))


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of text that is nothing but text: a control token spelled out in it is not read as one."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    return ids


def tensors(files: list[Path]) -> int:
    """Tensors in the safetensors files among ``files``."""
    count = 0
    for path in files:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as weights:
                count += len(weights.keys())
    return count
