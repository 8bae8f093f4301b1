"""The model: made from parameters, measured in FLOPs, written as a folder that transformers loads."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.utils.logging import disable_progress_bar

from stages.core.errors import HeadwaterError
from stages.core.params import params


@params
class Architecture:
    """A Llama: RMSNorm before each block, rotary positions, SwiGLU, no biases (Touvron et al., arXiv 2302.13971)."""

    hidden: PositiveInt
    """Width of the residual stream."""
    layers: PositiveInt
    """Transformer layers."""
    heads: PositiveInt
    """Attention heads; divides `hidden`."""
    kv_heads: PositiveInt
    """Key and value heads; divides `heads` (grouped-query attention, arXiv 2305.13245)."""
    intermediate: PositiveInt
    """Width of the feed-forward layers."""
    rope_theta: PositiveFloat
    """Base of the rotary frequencies (arXiv 2104.09864)."""
    norm_epsilon: PositiveFloat
    """Added to the mean square in RMSNorm."""
    init_std: PositiveFloat
    """Standard deviation of the initial weights."""
    tied_embeddings: bool
    """Whether the output layer shares the weights of the input embedding."""


SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
"""Ids that every Headwater tokenizer gives to <s>, </s> and <pad>."""


def check(architecture: Architecture) -> None:
    """Raises:
    HeadwaterError: the heads do not fit the width.
    """
    hidden, heads, kv_heads = architecture.hidden, architecture.heads, architecture.kv_heads
    if hidden % heads or hidden // heads % 2:
        raise HeadwaterError(
            f"params.yaml: model.heads is {heads}, which does not divide model.hidden, {hidden}, in heads of even width"
        )
    if heads % kv_heads:
        raise HeadwaterError(f"params.yaml: model.kv_heads is {kv_heads}, which does not divide model.heads, {heads}")


def build(architecture: Architecture, *, vocab_size: int, context: int, seed: int) -> Any:
    """A new model in float32 with weights drawn from ``seed``; ``context`` is its longest input in tokens."""
    check(architecture)
    config = LlamaConfig(
        vocab_size=vocab_size,
        max_position_embeddings=context,
        hidden_size=architecture.hidden,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.kv_heads,
        intermediate_size=architecture.intermediate,
        rope_parameters={"rope_type": "default", "rope_theta": architecture.rope_theta},
        rms_norm_eps=architecture.norm_epsilon,
        initializer_range=architecture.init_std,
        tie_word_embeddings=architecture.tied_embeddings,
        **SPECIAL,
    )
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def load(folder: Path) -> Any:
    """The model of a folder that :func:`save` wrote, in float32.

    Raises:
        HeadwaterError: there is no model in the folder.
    """
    if not (folder / "config.json").is_file():
        raise HeadwaterError(f"{folder}: no model here (config.json is missing)")
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False
    )


def save(config: Any, weights: dict[str, torch.Tensor], folder: Path, *, stop: list[int]) -> None:
    """Write the model as safetensors, with its configuration and how to generate with it.

    Args:
        config: The model's configuration.
        weights: All weights by name, whole.
        folder: Where to; made if it is missing.
        stop: Ids at which generation stops.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(weights, assign=True, strict=not config.tie_word_embeddings)
    model.tie_weights()
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=stop, pad_token_id=config.pad_token_id
    )
    disable_progress_bar()  # of transformers, which writes one even to a log
    model.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)  # safetensors lets the owner alone read


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Put the files of a tokenizer beside a model's; ``source`` may be a folder that holds a model too."""
    for path in sorted(source.iterdir()):
        if "token" in path.name or path.name == "chat_template.jinja":
            shutil.copyfile(path, folder / path.name)


def vocabulary(tokenizer: Path) -> int:
    """Number of ids of a tokenizer, from its ``tokenizer.json``.

    Raises:
        HeadwaterError: there is no tokenizer in the folder.
    """
    try:
        described = json.loads((tokenizer / "tokenizer.json").read_text("utf-8"))
    except (OSError, ValueError):
        raise HeadwaterError(f"{tokenizer}: no tokenizer here (tokenizer.json is missing or damaged)") from None
    ids = {*described["model"]["vocab"].values(), *(token["id"] for token in described["added_tokens"])}
    return len(ids)


def flops_per_token(model: Any, context: int) -> int:
    """Floating-point operations that training spends on a token, forward and backward.

    6 for each weight that is multiplied and 12 · layers · width · context for attention (Chowdhery et al., PaLM,
    arXiv 2204.02311, appendix B). An input embedding that is not shared is looked up, not multiplied.
    """
    config = model.config
    multiplied = sum(parameter.numel() for parameter in model.parameters())
    if not config.tie_word_embeddings:
        multiplied -= model.get_input_embeddings().weight.numel()
    return int(6 * multiplied + 12 * config.num_hidden_layers * config.hidden_size * context)
