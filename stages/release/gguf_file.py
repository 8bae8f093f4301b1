"""GGUF, the format of llama.cpp and what is built on it: one file with weights, tokenizer and chat template.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; names and order of the keys as in llama.cpp's
``convert_hf_to_gguf.py``, so that its loaders find what they look for.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.release import gguf_vocabulary
from stages.release.parity import Loaded

Array = npt.NDArray[Any]


@params
class Settings:
    """How the file is written, and how close it must come."""

    precision: Literal["f16", "f32"]
    """Type of the matrices; vectors (norms) are always f32, as llama.cpp wants them."""
    tolerance: float
    """Largest difference of a logit from the original's, absolute."""


def write(source: Path, target: Path, settings: Settings, name: str) -> list[Path]:
    """Write the model folder ``source`` as ``target/<name>-<precision>.gguf``; gives the file written.

    Raises:
        HeadwaterError: the architecture or the tokenizer is one that this writer does not know.
    """
    config = AutoConfig.from_pretrained(source, local_files_only=True)
    if config.model_type != "llama" or config.rope_parameters["rope_type"] != "default":
        raise HeadwaterError(f"{source}: GGUF is written for Llama with plain RoPE only, got {config.model_type}")
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{name}-{settings.precision}.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    _add_architecture(writer, config, settings, name)
    gguf_vocabulary.add(writer, source, config)
    matrix = np.dtype(np.float16 if settings.precision == "f16" else np.float32)
    _write_tensors(writer, source, config, matrix)
    return [path]


def load(files: list[Path]) -> Loaded:
    """The file as `transformers` reads it, in float32; tokens from the file's own table."""
    (path,) = files
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, local_files_only=True
    ).eval()
    return Loaded(model, gguf_vocabulary.read(path))


def interleave(weights: Array, heads: int) -> Array:
    """Rows of a query or key projection, ``(heads * size, …)``, in the order of llama.cpp's rotary embedding.

    Transformers rotates row i of a head with row i + size/2, llama.cpp row 2i with row 2i + 1: the halves of each
    head are interleaved (``LlamaModel.permute`` in llama.cpp's ``convert_hf_to_gguf.py``).
    """
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def _add_architecture(writer: Any, config: Any, settings: Settings, name: str) -> None:
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if settings.precision == "f16" else gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _write_tensors(writer: Any, source: Path, config: Any, matrix: np.dtype[Any]) -> None:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)

    def renamed() -> Iterator[tuple[str, Array]]:
        for name, tensor in _tensors(source):
            found = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if found is None:
                raise HeadwaterError(f"{source}: the tensor {name} has no place in a Llama of GGUF")
            if name.endswith(("q_proj.weight", "q_proj.bias")):
                tensor = interleave(tensor, config.num_attention_heads)
            if name.endswith(("k_proj.weight", "k_proj.bias")):
                tensor = interleave(tensor, config.num_key_value_heads)
            yield found, np.ascontiguousarray(tensor, matrix if tensor.ndim > 1 else np.float32)

    # Twice over the weights: the file begins with the sizes of all, and only one needs to be in memory at a time.
    for name, tensor in renamed():
        writer.add_tensor_info(name, tensor.shape, tensor.dtype, tensor.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, tensor in renamed():
        writer.write_tensor_data(tensor)
    writer.close()


def _tensors(source: Path) -> Iterator[tuple[str, Array]]:
    for path in sorted(source.glob("*.safetensors")):
        with safe_open(path, framework="pt") as weights:
            for name in sorted(weights.keys()):
                yield name, weights.get_tensor(name).to(torch.float32).numpy()
