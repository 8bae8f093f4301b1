"""The format that `transformers` loads, and vLLM with it: safetensors, configuration, tokenizer, chat template."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeFloat
from safetensors import safe_open
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.release import architecture
from stages.release.parity import Loaded, Variant

# What makes up a tokenizer on disk; `save_pretrained` would leave out the sentencepiece model and write its own view.
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
_SENTENCEPIECE = "tokenizer.model"  # a byte-level tokenizer has none
_TOKENIZER_OPTIONAL = ("chat_template.jinja", "special_tokens_map.json", "added_tokens.json")

# `AutoTokenizer` of transformers 5.23 trusts no tokenizer_config.json of these (its tokenization_auto.py says which).
_OTHER_TOKENIZER = ("qwen2",)


@params
class Settings:
    """How the folder is written, and how close it must come."""

    max_shard_size: str
    """Size above which the weights are split into several files, such as 5GB."""
    tolerance: NonNegativeFloat
    """Largest difference of a logit from the original's, absolute."""


def check(source: Path, settings: Settings) -> None:
    """Raises:
    HeadwaterError: the source holds no model, one that transformers would give another tokenizer, or lacks a file of
        its tokenizer.
    """
    architecture.head(source)
    if json.loads((source / "config.json").read_text("utf-8"))["model_type"] in _OTHER_TOKENIZER:
        raise HeadwaterError(
            f"{source}: transformers gives every qwen2 the tokenizer of Qwen 2, whatever lies beside it: take "
            "transformers out of export.formats, or train a qwen3"
        )
    for file in (*_TOKENIZER, *_model(source)):
        if not (source / file).is_file():
            raise HeadwaterError(f"{source}: {file} is missing, so the tokenizer cannot be exported")


def write(source: Path, target: Path, settings: Settings, name: str) -> list[Variant]:
    """Write the model folder ``source`` to ``target``."""
    before = set(target.iterdir())
    auto = architecture.head(source).auto
    model = auto.from_pretrained(source, dtype="auto", local_files_only=True, trust_remote_code=False)
    model.save_pretrained(target, max_shard_size=settings.max_shard_size)
    for file in (*_TOKENIZER, *_model(source)):
        shutil.copyfile(source / file, target / file)
    for file in _TOKENIZER_OPTIONAL:
        if (source / file).is_file():
            shutil.copyfile(source / file, target / file)
    written = sorted(set(target.iterdir()) - before)
    for path in written:
        path.chmod(0o644)  # safetensors are written for the owner alone
    return [Variant("transformers", written, settings.tolerance, exact=True, load=lambda: load(target))]


def _model(source: Path) -> list[str]:
    """The sentencepiece model where the tokenizer is one: it spells in bytes what it has no piece for."""
    described = json.loads((source / _TOKENIZER[0]).read_text("utf-8")) if (source / _TOKENIZER[0]).is_file() else {}
    return [_SENTENCEPIECE] if described.get("model", {}).get("byte_fallback") else []


def load(folder: Path) -> Loaded:
    """A model folder as its users load it, by nothing but its name."""
    return _loaded(folder, AutoTokenizer)


def original(folder: Path) -> Loaded:
    """A model folder of a stage, with what its ``tokenizer.json`` says for its tokenizer.

    Raises:
        HeadwaterError: there is no model in the folder.
    """
    return _loaded(folder, PreTrainedTokenizerFast)


def _loaded(folder: Path, tokenizers: Any) -> Loaded:
    model = architecture.load(folder)
    tokenizer = tokenizers.from_pretrained(folder, local_files_only=True)
    return running(model, lambda texts: [encode(tokenizer, text) for text in texts])


def running(model: Any, encode: Any) -> Loaded:
    """A model of `transformers` with what encodes text for it."""

    def logits(sequence: Sequence[int]) -> torch.Tensor:
        with torch.inference_mode():
            return torch.as_tensor(model(input_ids=torch.tensor([sequence])).logits[0])

    def greedy(prompts: Sequence[Sequence[int]], length: int) -> list[list[int]]:
        ids, cache = torch.tensor(prompts), None
        found = []
        with torch.inference_mode():
            for _ in range(length):  # not `generate`, which would stop where the model does
                answer = model(input_ids=ids, past_key_values=cache, use_cache=True)
                ids, cache = answer.logits[:, -1:].argmax(-1), answer.past_key_values
                found.append(ids)
        return torch.as_tensor(torch.cat(found, 1)).tolist()

    return Loaded(encode, logits, greedy if model.can_generate() else None)


def encode(tokenizer: Any, text: str) -> list[int]:
    """Token ids of text that is nothing but text: a control token spelled out in it is not read as one."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    return ids


def tensors(folder: Path) -> int:
    """Tensors in the safetensors files of a folder."""
    count = 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as weights:
            count += len(weights.keys())
    return count
