"""GGUF, the format of llama.cpp and what is built on it: one file with weights, tokenizer and chat template.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; the quantisations are those of the package ``gguf``.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import gguf
import numpy as np
import torch
from pydantic import Field, NonNegativeFloat
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.release import architecture, gguf_vocabulary, llama_cpp, transformers_folder
from stages.release.gguf_architectures import KINDS, Architecture, Array
from stages.release.parity import Loaded, Variant

Precision = Literal["f32", "f16", "q8_0", "q4_0"]

_FILE_TYPE = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}

Type = gguf.GGMLQuantizationType


@params
class Settings:
    """Which files are written, and how close they must come."""

    precisions: Annotated[tuple[Precision, ...], Field(min_length=1)]
    """Types of the matrices, one file each; vectors (norms) are always f32, as llama.cpp wants them. In q4_0 the first
    and the last matrix are q8_0, as they matter most; a matrix whose rows are no multiple of 32 long is f16."""
    tolerance: dict[Precision, NonNegativeFloat]
    """Largest difference of a logit from the original's, absolute, for each type."""
    client: Literal["transformers", "llama.cpp"]
    """What reads the files back: transformers (all but gpt2, gpt_neox, olmo2 and a qwen3 whose heads are not 128 wide),
    or llama.cpp itself (extra `llamacpp`)."""


def check(source: Path, settings: Settings) -> None:
    """Raises:
    HeadwaterError: llama.cpp, or the client, does not have what is in ``source``; or a tolerance is missing.
    """
    task = architecture.head(source).task
    config = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    kind = config.model_type
    if kind not in KINDS or task != "text-generation":
        raise HeadwaterError(
            f"{source}: GGUF has no {kind} for {task}: take gguf out of export.formats (it has {', '.join(KINDS)} for "
            "text-generation)"
        )
    rope = getattr(config, "rope_parameters", None) or {"rope_type": "default"}
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if rope["rope_type"] != "default" or (window or config.max_position_embeddings) < config.max_position_embeddings:
        raise HeadwaterError(
            f"{source}: GGUF is written for plain rotary positions and attention to the whole context only"
        )
    if settings.client == "transformers" and not KINDS[kind].read_by_transformers:
        raise HeadwaterError(
            f"{source}: transformers does not read {kind} from GGUF; set export.gguf.client to llama.cpp, "
            "which the extra llamacpp installs"
        )
    read, width = KINDS[kind].read_width, getattr(config, "head_dim", None)
    if settings.client == "transformers" and read not in (None, width):
        raise HeadwaterError(
            f"{source}: transformers takes heads of every {kind} in GGUF to be {read} wide, and these are {width}; set "
            "export.gguf.client to llama.cpp, which the extra llamacpp installs"
        )
    if settings.client == "llama.cpp":
        llama_cpp.check()
    for precision in settings.precisions:
        if precision not in settings.tolerance:
            raise HeadwaterError(f"params.yaml: export.gguf.tolerance has none for {precision}")


def write(source: Path, target: Path, settings: Settings, name: str) -> list[Variant]:
    """Write the model folder ``source`` as ``target/<name>-<precision>.gguf`` for each precision.

    Raises:
        HeadwaterError: the tokenizer is one that llama.cpp does not read.
    """
    config = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    kind = KINDS[config.model_type]
    read = {"transformers": load, "llama.cpp": llama_cpp.load}[settings.client]
    variants = []
    for precision in settings.precisions:
        path = target / f"{name}-{precision}.gguf"
        writer = gguf.GGUFWriter(path, kind.name)
        writer.add_name(name)
        writer.add_file_type(_FILE_TYPE[precision])
        kind.add(writer, config)
        gguf_vocabulary.add(writer, source, config)
        _write_tensors(writer, source, config, kind, precision)
        variants.append(
            Variant(
                f"gguf-{precision}",
                [path],
                settings.tolerance[precision],
                exact=precision == "f32",
                load=partial(read, path),
            )
        )
    return variants


def load(path: Path) -> Loaded:
    """The file as `transformers` reads it, in float32; tokens from the file's own table."""
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, local_files_only=True, trust_remote_code=False
    ).eval()
    encode = gguf_vocabulary.read(path)
    return transformers_folder.running(model, lambda texts: [encode(text) for text in texts])


def stored(name: str, shape: tuple[int, ...], precision: Precision) -> gguf.GGMLQuantizationType:
    """The type that a tensor of GGUF's ``name`` gets in a file of ``precision``."""
    if len(shape) < 2 or precision == "f32":
        return Type.F32
    if precision == "f16" or shape[-1] % 32 or name == "position_embd.weight":  # llama.cpp adds positions unpacked
        return Type.F16
    ends = name in ("token_embd.weight", "output.weight")
    return Type.Q8_0 if precision == "q8_0" or ends else Type.Q4_0


def _write_tensors(writer: Any, source: Path, config: Any, kind: Architecture, precision: Precision) -> None:
    # Twice over the weights: the file begins with the sizes of all, and only one needs to be in memory at a time.
    for name, tensor in _renamed(source, config, kind):
        dtype = stored(name, tensor.shape, precision)
        shape = gguf.quant_shape_to_byte_shape(tensor.shape, dtype) if _packed(dtype) else tensor.shape
        held = np.dtype({Type.F32: np.float32, Type.F16: np.float16}.get(dtype, np.uint8))
        writer.add_tensor_info(name, shape, held, int(np.prod(shape)) * held.itemsize, raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, tensor in _renamed(source, config, kind):
        writer.write_tensor_data(gguf.quants.quantize(tensor, stored(name, tensor.shape, precision)))
    writer.close()


def _packed(dtype: gguf.GGMLQuantizationType) -> bool:
    return dtype not in (Type.F32, Type.F16)


def _renamed(source: Path, config: Any, kind: Architecture) -> Iterator[tuple[str, Array]]:
    """Every tensor under its name in GGUF, in float32 and llama.cpp's order."""
    names = gguf.get_tensor_name_map(kind.model, config.num_hidden_layers)
    for name, tensor in _tensors(source):
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise HeadwaterError(f"{source}: the tensor {name} has no place in a {kind.name} of GGUF")
        arranged = np.ascontiguousarray(kind.arrange(name, tensor, config), np.float32)
        yield found, arranged
        if found == "token_embd.weight" and kind.own_output and config.tie_word_embeddings:
            yield "output.weight", arranged


def _tensors(source: Path) -> Iterator[tuple[str, Array]]:
    for path in sorted(source.glob("*.safetensors")):
        with safe_open(path, framework="pt") as weights:
            for name in sorted(weights.keys()):
                yield name, weights.get_tensor(name).to(torch.float32).numpy()
