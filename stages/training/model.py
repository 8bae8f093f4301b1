"""The model: made from parameters, read, written as a folder that transformers loads."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    GenerationConfig,
)
from transformers.utils.logging import disable_progress_bar

from stages.core.errors import HeadwaterError
from stages.core.fingerprint import file_hash
from stages.core.params import LesserShare, params

KINDS = ("bert", "gpt2", "gpt_neox", "llama", "mistral", "olmo2", "qwen2", "qwen3")

MASKED = ("bert",)
"""Kinds that see both sides of a token, for the masked objective."""


@params
class Architecture:
    """The shape of a model of transformers; what a kind has not, such as rotary positions, it does not use."""

    kind: Literal["bert", "gpt2", "gpt_neox", "llama", "mistral", "olmo2", "qwen2", "qwen3"]
    """As transformers calls it. llama (Touvron et al., arXiv 2302.13971): RMSNorm before each block, rotary positions,
    SwiGLU, no biases; bert (Devlin et al., arXiv 1810.04805) looks both ways, for the masked objective."""
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
    """Added to the mean square, or the variance, in norms."""
    init_std: PositiveFloat
    """Standard deviation of the initial weights."""
    tied_embeddings: bool
    """Whether the output layer shares the weights of the input embedding."""
    dropout: LesserShare
    """Share of values set to 0 while training (Srivastava et al. 2014), wherever the kind has dropout: llama and its
    like only in attention."""


HEADS = {
    "ForSequenceClassification": AutoModelForSequenceClassification,
    "ForTokenClassification": AutoModelForTokenClassification,
    "ForPreTraining": AutoModelForPreTraining,
}
"""How the names of models end that give a text, or each of its tokens, a class or a number, or that tell beside masked
tokens whether two passages follow each other."""

SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
"""Ids that every Headwater tokenizer gives to <s>, </s> and <pad>."""

_DROPOUTS = (
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "embd_pdrop",
    "hidden_dropout",
    "hidden_dropout_prob",
    "resid_pdrop",
)


def check(architecture: Architecture) -> None:
    """Raises:
    HeadwaterError: the heads do not fit the width, or the kind.
    """
    hidden, heads, kv_heads = architecture.hidden, architecture.heads, architecture.kv_heads
    if hidden % heads or hidden // heads % 2:
        raise HeadwaterError(
            f"params.yaml: model.heads is {heads}, which does not divide model.hidden, {hidden}, in heads of even width"
        )
    if heads % kv_heads:
        raise HeadwaterError(f"params.yaml: model.kv_heads is {kv_heads}, which does not divide model.heads, {heads}")
    if kv_heads != heads and "num_key_value_heads" not in _options(architecture.kind):
        raise HeadwaterError(
            f"params.yaml: model.kv_heads is {kv_heads}, but {architecture.kind} has no grouped-query attention: "
            f"make it {heads}, as model.heads"
        )


def configuration(architecture: Architecture, *, vocab_size: int, context: int) -> Any:
    """The configuration of transformers for an architecture; ``context`` is its longest input in tokens."""
    check(architecture)
    known = _options(architecture.kind)
    values = {
        "intermediate_size": architecture.intermediate,
        "n_inner": architecture.intermediate,
        "num_key_value_heads": architecture.kv_heads,
        "head_dim": architecture.hidden // architecture.heads,
        "rope_parameters": {"rope_type": "default", "rope_theta": architecture.rope_theta},
        "rms_norm_eps": architecture.norm_epsilon,
        "layer_norm_eps": architecture.norm_epsilon,
        "layer_norm_epsilon": architecture.norm_epsilon,
        **dict.fromkeys(_DROPOUTS, architecture.dropout),
    }
    return CONFIG_MAPPING[architecture.kind](
        vocab_size=vocab_size,
        max_position_embeddings=context,
        hidden_size=architecture.hidden,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        initializer_range=architecture.init_std,
        tie_word_embeddings=architecture.tied_embeddings,
        **{name: value for name, value in values.items() if name in known},
        **SPECIAL,
    )


def _options(kind: str) -> set[str]:
    return {field.name for field in dataclasses.fields(CONFIG_MAPPING[kind])}


def build(architecture: Architecture, *, vocab_size: int, context: int, seed: int, pairs: bool = False) -> Any:
    """A new model in float32 with weights drawn from ``seed``; ``context`` is its longest input in tokens.

    With ``pairs``, one of :data:`MASKED` has a head that tells whether two passages follow each other.
    """
    config = configuration(architecture, vocab_size=vocab_size, context=context)
    _judge(config, pairs)
    torch.manual_seed(seed)
    return _family(config).from_config(config, dtype=torch.float32)


def _family(config: Any) -> Any:
    architecture = (config.architectures or [""])[0]
    for ending, family in HEADS.items():
        if architecture.endswith(ending):
            return family
    return AutoModelForMaskedLM if config.model_type in MASKED else AutoModelForCausalLM


def _judge(config: Any, pairs: bool) -> None:
    """Let a configuration be that of a model with a head for pairs, or of one without."""
    if pairs:
        config.architectures = [AutoModelForPreTraining._model_mapping[type(config)].__name__]
    elif _family(config) is AutoModelForPreTraining:
        config.architectures = None


def load(folder: Path, dropout: float, pairs: bool = False) -> Any:
    """The model of a folder that :func:`save` wrote, in float32, to be trained further.

    Args:
        folder: With config.json and safetensors.
        dropout: As in :class:`Architecture`.
        pairs: As in :func:`build`.

    Raises:
        HeadwaterError: there is no model in the folder, or one of another kind than :data:`KINDS`.
    """
    config = described(folder, dropout)
    _judge(config, pairs)
    return load_as(config, folder)


def writer(folder: Path, dropout: float) -> Any:
    """The configuration of a folder's model, if that can answer; see :func:`load`.

    Raises:
        HeadwaterError: it looks both ways, and cannot write.
    """
    config = described(folder, dropout)
    if config.model_type in MASKED:
        raise HeadwaterError(
            f"{folder}: a {config.model_type} fills masks and cannot answer: set finetune.task to classify, tag or "
            "score, or train a pretrain.model.kind that writes"
        )
    return config


def described(folder: Path, dropout: float) -> Any:
    """The configuration of a folder's model, to be trained with ``dropout``; see :func:`load`."""
    config = configured(folder)
    for name in _options(config.model_type) & set(_DROPOUTS):
        setattr(config, name, dropout)
    return config


def configured(folder: Path) -> Any:
    """The configuration of a folder's model as it stands; see :func:`load`."""
    if not (folder / "config.json").is_file():
        raise HeadwaterError(f"{folder}: no model here (config.json is missing)")
    kind = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
    if kind not in KINDS:
        raise HeadwaterError(f"{folder}: holds a model of kind {kind}; these can be trained: {', '.join(KINDS)}")
    return CONFIG_MAPPING[kind].from_pretrained(folder, local_files_only=True)


def load_as(config: Any, folder: Path) -> Any:
    """The model of a folder, in float32, as its configuration says; weights of a head that it lacks are drawn."""
    disable_progress_bar()  # of transformers, which writes one even to a log
    return _family(config).from_pretrained(
        folder, config=config, dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
    )


def save(config: Any, weights: dict[str, torch.Tensor], folder: Path, *, stop: list[int]) -> None:
    """Write the model as safetensors, with its configuration and how to generate with it.

    Args:
        config: The model's configuration.
        weights: All weights by name, whole.
        folder: Where to; made if it is missing.
        stop: Ids at which generation stops, of a model that generates.
    """
    with torch.device("meta"):
        model = _family(config).from_config(config)
    model.load_state_dict(weights, assign=True, strict=not config.tie_word_embeddings)
    model.tie_weights()
    if model.can_generate():
        model.generation_config = _generation(config, stop)
    disable_progress_bar()
    model.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)  # safetensors lets the owner alone read


def describe(config: Any, folder: Path, *, tokenizer: Path, stop: list[int], control: Sequence[str] = ()) -> None:
    """Write all that a model's folder holds but weights; see :func:`save` and :func:`copy_tokenizer`."""
    config.save_pretrained(folder)
    _generation(config, stop).save_pretrained(folder)
    copy_tokenizer(tokenizer, folder, control)


def _generation(config: Any, stop: list[int]) -> GenerationConfig:
    return GenerationConfig(bos_token_id=config.bos_token_id, eos_token_id=stop, pad_token_id=config.pad_token_id)


def copy_tokenizer(source: Path, folder: Path, control: Sequence[str] = ()) -> None:
    """Put the files of a tokenizer beside a model's; ``source`` may be a folder that holds a model too.

    Args:
        source: Of the files.
        folder: Where to.
        control: Control tokens that the model knows beyond the tokenizer's, with the ids after its vocabulary.
    """
    first = vocabulary(source) if control else 0
    for path in sorted(source.iterdir()):
        if "token" in path.name or path.name == "chat_template.jinja":
            shutil.copyfile(path, folder / path.name)
    if control:
        fast, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
        described, configured = (json.loads(path.read_text("utf-8")) for path in (fast, settings))
        described["added_tokens"] += [
            {"id": first + number, "content": token, "special": True, "normalized": False}
            | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
            for number, token in enumerate(control)
        ]
        if "<mask>" in control:
            configured["mask_token"] = "<mask>"
        for path, content in ((fast, described), (settings, configured)):
            path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def check_agrees(folder: Path, other: Path, *, writes: bool = True) -> None:
    """Raises:
    HeadwaterError: there is no model, one that has to write and cannot, or one of another vocabulary or less context.
    """
    config, wanted = ((writer if writes else described)(one, 0.0) for one in (folder, other))
    files = (folder / "tokenizer.json", other / "tokenizer.json")
    hashes = {file_hash(file) if file.is_file() else "" for file in files}
    if len(hashes) > 1 or config.vocab_size != wanted.vocab_size:
        raise HeadwaterError(f"{folder}: has another vocabulary than {other}: take a model with the same tokenizer")
    if (own := config.max_position_embeddings) < (least := wanted.max_position_embeddings):
        raise HeadwaterError(f"{folder}: has a context of {own} tokens, {other} one of {least}")


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
