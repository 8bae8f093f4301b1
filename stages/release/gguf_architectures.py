"""The architectures of llama.cpp that models of this project become: their keys, and the order of their rows.

Names, order and defaults as in llama.cpp's ``convert_hf_to_gguf.py``, so that its loaders find what they look for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Architecture:
    """How llama.cpp has a kind of model."""

    model: gguf.MODEL_ARCH
    add: Callable[[Any, Any], None]
    """Writes the kind's keys: ``add(writer, config)``."""
    arrange: Callable[[str, Array, Any], Array]
    """A tensor in llama.cpp's order: ``arrange(name, tensor, config)``."""
    read_by_transformers: bool = True
    """Whether `transformers` reads the kind from GGUF."""
    read_width: int | None = None
    """Width of a head that `transformers` takes every file of the kind to have; None: it reads it."""
    own_output: bool = False
    """Whether the output matrix is written even where it is the embedding."""

    @property
    def name(self) -> str:
        """As GGUF calls it."""
        return str(gguf.MODEL_ARCH_NAMES[self.model])


def interleave(weights: Array, heads: int) -> Array:
    """Rows of a query or key projection, ``(heads * size, …)``, in the order of llama.cpp's rotary embedding.

    Transformers rotates row i of a head with row i + size/2, llama.cpp row 2i with row 2i + 1: the halves of each
    head are interleaved (``LlamaModel.permute`` in llama.cpp's ``convert_hf_to_gguf.py``).
    """
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def gather(weights: Array, heads: int) -> Array:
    """Rows of GPT-NeoX's joint projection, query, key and value of each head in turn, as all queries, keys, values."""
    apart = weights.reshape(heads, 3, weights.shape[0] // heads // 3, *weights.shape[1:])
    return apart.swapaxes(0, 1).reshape(weights.shape)


def _add_shape(writer: Any, config: Any, feed_forward: int) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)


def _add_llama(writer: Any, config: Any) -> None:
    _add_shape(writer, config, config.intermediate_size)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _add_gpt2(writer: Any, config: Any) -> None:
    _add_shape(writer, config, config.n_inner or 4 * config.hidden_size)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)


def _add_gpt_neox(writer: Any, config: Any) -> None:
    _add_shape(writer, config, config.intermediate_size)
    rope = config.rope_parameters
    head = config.hidden_size // config.num_attention_heads
    writer.add_rope_dimension_count(int(rope.get("partial_rotary_factor", 1.0) * head))
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_parallel_residual(config.use_parallel_residual)
    writer.add_layer_norm_eps(config.layer_norm_eps)


def _arrange_llama(name: str, tensor: Array, config: Any) -> Array:
    if name.endswith(("q_proj.weight", "q_proj.bias")):
        return interleave(tensor, config.num_attention_heads)
    if name.endswith(("k_proj.weight", "k_proj.bias")):
        return interleave(tensor, config.num_key_value_heads)
    return tensor


def _arrange_gpt2(name: str, tensor: Array, config: Any) -> Array:
    # GPT-2 of transformers multiplies from the other side.
    turned = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")
    return np.ascontiguousarray(tensor.T) if name.endswith(turned) else tensor


def _arrange_gpt_neox(name: str, tensor: Array, config: Any) -> Array:
    joint = name.endswith(("query_key_value.weight", "query_key_value.bias"))
    return gather(tensor, config.num_attention_heads) if joint else tensor


def _arrange_not(name: str, tensor: Array, config: Any) -> Array:
    return tensor


_LLAMA = Architecture(gguf.MODEL_ARCH.LLAMA, _add_llama, _arrange_llama)

KINDS = {
    # transformers leaves out its context and the width of its layers: 1,024, and four times the model's, for all.
    "gpt2": Architecture(gguf.MODEL_ARCH.GPT2, _add_gpt2, _arrange_gpt2, read_by_transformers=False),
    "gpt_neox": Architecture(
        gguf.MODEL_ARCH.GPTNEOX, _add_gpt_neox, _arrange_gpt_neox, read_by_transformers=False, own_output=True
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,  # with a window of attention that is no shorter than the context
    "olmo2": Architecture(gguf.MODEL_ARCH.OLMO2, _add_llama, _arrange_not, read_by_transformers=False, own_output=True),
    "qwen2": Architecture(gguf.MODEL_ARCH.QWEN2, _add_llama, _arrange_not),
    "qwen3": Architecture(gguf.MODEL_ARCH.QWEN3, _add_llama, _arrange_not, read_width=128),
}
"""Kind of model, as transformers calls it, to its architecture in llama.cpp."""
