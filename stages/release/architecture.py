"""What a model folder holds, by the architecture that its configuration names: what it answers, and what loads it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from stages.core import adapted
from stages.core.errors import HeadwaterError


@dataclass(frozen=True)
class Head:
    """What a model ends in."""

    task: str
    """As the Hugging Face hub and the pipelines of `transformers` call it."""
    auto: Any
    """The class of `transformers` that loads it."""

    @property
    def continues(self) -> bool:
        """Whether it continues text."""
        return self.task == "text-generation"


_CAUSAL = Head("text-generation", AutoModelForCausalLM)
_HEADS = {
    "ForCausalLM": _CAUSAL,
    "LMHeadModel": _CAUSAL,  # GPT-2
    "ForMaskedLM": Head("fill-mask", AutoModelForMaskedLM),
    "ForSequenceClassification": Head("text-classification", AutoModelForSequenceClassification),
    "ForTokenClassification": Head("token-classification", AutoModelForTokenClassification),
}


def head(folder: Path) -> Head:
    """What the model in ``folder`` ends in.

    Raises:
        HeadwaterError: there is no model in the folder, or one that ends in something else.
    """
    try:
        config = json.loads((adapted.configured(folder) / "config.json").read_text("utf-8"))
    except FileNotFoundError:
        raise HeadwaterError(f"{folder}: no model here (config.json is missing); run `dvc repro`") from None
    except ValueError as error:
        raise HeadwaterError(f"{folder}/config.json: not JSON: {error}") from None
    names = config.get("architectures") or ["(none)"]
    for ending, found in _HEADS.items():
        if names[0].endswith(ending):
            return found
    raise HeadwaterError(f"{folder}/config.json: names the architecture {names[0]}; known endings: {', '.join(_HEADS)}")


def load(folder: Path) -> Any:
    """The model of a folder in float32, ready to answer; no code from the folder is run.

    Raises:
        HeadwaterError: there is no model in the folder, or one of an unknown architecture.
    """
    auto = head(folder).auto
    if adapted.is_adapter(folder):
        return adapted.load(folder, dtype=torch.float32).eval()
    return auto.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
    ).eval()
