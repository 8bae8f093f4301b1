"""Tuning a few weights instead of all: adapters of PEFT, on the models and in the loop of this project.

A method changes the model in place, so that whatever learns with it need not know: LoRA, AdaLoRA and IA³ replace linear
layers by ones that compute the same and a little more; prefix and prompt tuning put virtual tokens before every row.
Only what a method adds is trained, saved in checkpoints and kept; the result is read back by PEFT itself.
"""

import json
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import peft
import torch
from peft.utils import constants
from pydantic import PositiveFloat, PositiveInt
from safetensors.torch import save_file
from torch import nn

from stages.core import adapted
from stages.core.errors import HeadwaterError
from stages.core.params import LesserShare, params
from stages.training import model as models
from stages.training.ranks import Ranks
from stages.training.settings import Training

Method = Literal["full", "lora", "adalora", "ia3", "prefix", "prompt"]

VIRTUAL = ("prefix", "prompt")
"""Methods that put virtual tokens before a row, which cannot be merged into the model's weights."""

_NAME = "default"  # as PEFT calls an adapter that was given no name

# PEFT's tables of the layers to adapt have no row for it; its layers have the names of llama's.
_LIKE = {"olmo2": "llama"}

# Of AdaLoRA (arXiv 2303.10512): the rank begins at 1.5 times its final mean (section 4.1); its schedule in shares of
# the run, of which the paper sets the steps for each data set: all ranks, falling, and training with what is left.
_FIRST_RANK = 1.5
_ALL_RANKS, _LAST_RANKS = 0.1, 0.3


@params
class Adapter:
    """What a method other than `full` adds to the model; a value that a method has no use for, it does not use."""

    rank: PositiveInt
    """Of lora (Hu et al., arXiv 2106.09685): width of what is added to a layer. Of adalora (Zhang et al., arXiv
    2303.10512): the mean width in the end; it begins with half as much again and takes it from where it matters
    least."""
    alpha: PositiveFloat
    """Of lora and adalora: what is added is multiplied by alpha / rank."""
    dropout: LesserShare
    """Of lora and adalora: share of a layer's inputs set to 0 while training, in what is added only."""
    targets: Literal["attention", "all_linear"]
    """Of lora and adalora: the layers that are adapted: those of attention that PEFT's table names for the kind of
    model (queries and values), or every linear layer but the output. ia3 (Liu et al., arXiv 2205.05638) has its own:
    keys, values and the second of the feed-forward."""
    virtual_tokens: PositiveInt
    """Of prefix (Li and Liang, arXiv 2101.00190), keys and values of every layer, and prompt (Lester et al., arXiv
    2104.08691), embeddings: tokens put before each row, which leave the context that much shorter."""


class Tuning(NamedTuple):
    """How the weights of a model are changed."""

    method: Method
    adapter: Adapter
    steps: int
    """Length of the run, from which AdaLoRA's schedule follows."""
    seed: int
    """Of the adapter's first weights."""


def room(method: Method, adapter: Adapter) -> int:
    """Positions of the context that virtual tokens take."""
    return adapter.virtual_tokens if method in VIRTUAL else 0


def check(method: Method, training: Training, *, writes: bool) -> None:
    """Raises:
    HeadwaterError: the method does not go with how it is trained, or with a task in which the model does not write.
    """
    if method == "full":
        return
    if method in VIRTUAL and not writes:
        # A classifier of transformers finds a text's last token by its id, and virtual tokens have none: what PEFT
        # reads back would look at padding.
        raise HeadwaterError(f"params.yaml: finetune.method {method} is for tasks in which the model writes; take lora")
    if training.adversarial:
        raise HeadwaterError(f"params.yaml: {method} leaves the embeddings as they are: set training.adversarial to 0")
    if method in VIRTUAL and training.documents_apart:
        raise HeadwaterError(f"params.yaml: {method} puts tokens before a row: set training.documents_apart to false")
    if method == "prefix" and training.activation_checkpointing:
        raise HeadwaterError(
            "params.yaml: prefix and training.activation_checkpointing do not go together: set it to false"
        )
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if method in ("adalora", *VIRTUAL) and processes > 1:
        raise HeadwaterError(f"params.yaml: {method} trains on one process, not on {processes}; take lora or ia3")


def attach(model: Any, tuning: Tuning) -> Ranks | None:
    """Change ``model`` in place: what the method adds can be trained, all else is frozen.

    Returns:
        For AdaLoRA, what its steps must be told to.

    Raises:
        HeadwaterError: the run is too short for AdaLoRA's schedule.
    """
    if tuning.method == "full":
        return None
    torch.manual_seed(tuning.seed)
    config = _config(model, tuning)
    wrapped = _wrap(model, config)
    if tuning.method in VIRTUAL:
        _put_before(model, wrapped)
    return Ranks(wrapped.base_model, config) if tuning.method == "adalora" else None


def _config(model: Any, tuning: Tuning) -> Any:
    """PEFT's own description of the method."""
    kind, (method, adapter, steps, _) = model.config.model_type, tuning
    writes = model.get_output_embeddings() is not None
    beside = [(name, child) for name, child in model.named_children() if name != model.base_model_prefix]
    heads = [name for name, child in beside if list(child.parameters())]  # not the dropout before a head for tags
    general: dict[str, Any] = {"task_type": "CAUSAL_LM"} if writes else {"modules_to_save": heads}
    row, conv1d = _LIKE.get(kind, kind), {"fan_in_fan_out": kind == "gpt2"}  # whose layers are transposed
    if method == "prefix":
        return peft.PrefixTuningConfig(num_virtual_tokens=adapter.virtual_tokens, **general)
    if method == "prompt":
        return peft.PromptTuningConfig(
            num_virtual_tokens=adapter.virtual_tokens, prompt_tuning_init="SAMPLE_VOCAB", **general
        )
    if method == "ia3":
        return peft.IA3Config(
            target_modules=constants.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING[row],
            feedforward_modules=constants.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING[row],
            **general,
            **conv1d,
        )
    attention = constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING[row]
    shared = {
        "target_modules": "all-linear" if adapter.targets == "all_linear" else attention,
        "lora_alpha": adapter.alpha,
        "lora_dropout": adapter.dropout,
        **general,
        **conv1d,
    }
    if method == "lora":
        return peft.LoraConfig(r=adapter.rank, **shared)
    first, last = round(steps * _ALL_RANKS), round(steps * _LAST_RANKS)
    if first + last >= steps:
        raise HeadwaterError(
            f"params.yaml: adalora cannot choose ranks in a run of {steps} steps: take lora, or more steps"
        )
    return peft.AdaLoraConfig(
        init_r=round(adapter.rank * _FIRST_RANK),
        target_r=adapter.rank,
        tinit=first,
        tfinal=last,
        deltaT=max(1, steps // 100),
        total_step=steps,
        **shared,
    )


def _wrap(model: Any, config: Any) -> Any:
    with adapted.quiet():
        return peft.get_peft_model(model, config, _NAME)


def _put_before(model: Any, wrapped: Any) -> None:
    """Let the body of ``model`` see virtual tokens before every row, and give nothing back for them."""
    model.add_module("prompt_encoder", wrapped.prompt_encoder)
    prefix = wrapped.active_peft_config.peft_type == peft.PeftType.PREFIX_TUNING
    count = wrapped.active_peft_config.num_virtual_tokens

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        embedded = kwargs["inputs_embeds"]
        virtual = wrapped.get_prompt(len(embedded))
        if prefix:
            return args, kwargs | {"past_key_values": virtual}
        return args, kwargs | {"inputs_embeds": torch.cat([virtual.to(embedded.dtype), embedded], 1)}

    def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state[:, count:]
        return output

    model.base_model.register_forward_pre_hook(before, with_kwargs=True)
    if not prefix:
        model.base_model.register_forward_hook(after)


def save(weights: dict[str, torch.Tensor], tuning: Tuning, base: Any, folder: Path, *, stop: list[int]) -> None:
    """Write a tuned model, see :mod:`stages.core.adapted`.

    Args:
        weights: What was trained, by its name in the model that :func:`attach` changed.
        tuning: As it was attached.
        base: The model before it was changed.
        folder: Where to.
        stop: Ids at which generation stops.
    """
    if tuning.method == "full":
        models.save(base.config, weights, folder, stop=stop)
        return
    content = adapted.content(base)
    base.config.name_or_path = ""  # PEFT would note it, and it is a path of this machine
    wrapped = _wrap(base, _config(base, tuning))
    prefix = "" if tuning.method in VIRTUAL else "base_model.model."
    unexpected = wrapped.load_state_dict({prefix + name: value for name, value in weights.items()}, strict=False)[1]
    assert not unexpected, unexpected
    merged = tuning.method not in VIRTUAL
    place = folder / adapted.ADAPTER if merged else folder
    place.mkdir(parents=True, exist_ok=True)
    state = peft.get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    save_file({name: state[name].contiguous() for name in sorted(state)}, place / adapted.WEIGHTS, {"format": "pt"})
    (place / adapted.WEIGHTS).chmod(0o644)  # safetensors lets the owner alone read
    described = wrapped.active_peft_config.to_dict() | {"inference_mode": True, "revision": content}
    lists = {name: sorted(value) for name, value in described.items() if isinstance(value, set)}
    text = json.dumps(described | lists, indent=2, sort_keys=True)
    (place / adapted.CONFIG).write_text(text + "\n", "utf-8")
    whole = wrapped.merge_and_unload() if merged else wrapped.get_base_model()
    models.save(whole.config, whole.state_dict(), folder if merged else folder / adapted.BASE, stop=stop)
