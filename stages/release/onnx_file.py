"""ONNX, for onnxruntime: one file with the weights, of a model that continues text with its cache of keys and values.

Names of files, inputs and outputs as in Optimum, which others follow: ``onnx/model.onnx`` takes `input_ids`,
`attention_mask`, `position_ids` and `past_key_values.<layer>.key` and `.value`, and gives `logits` and
`present.<layer>.key` and `.value`. A classifier takes the first two and gives `logits`.
"""

import importlib.util
import shutil
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat
from tokenizers import Tokenizer
from transformers import DynamicCache

from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.runtime import profile
from stages.release import architecture
from stages.release.parity import Loaded, Variant

Precision = Literal["f32", "int8"]

_FILES = {"f32": "model.onnx", "int8": "model_quantized.onnx"}
_OPSET = 18
_IN_ONE_FILE = 1_500_000_000  # bytes; protobuf ends at 2 GB, above which weights lie beside


@params
class Settings:
    """Which files are written, and how close they must come."""

    precisions: Annotated[tuple[Precision, ...], Field(min_length=1)]
    """Types of the weights, one file each; int8 is what onnxruntime calls dynamic quantisation."""
    tolerance: dict[Precision, NonNegativeFloat]
    """Largest difference of a logit from the original's, absolute, for each type."""


class _Causal(torch.nn.Module):
    """A model that continues text, with its cache as plain tensors."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        past: list[torch.Tensor],
    ) -> tuple[torch.Tensor, ...]:
        cache = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        answer = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        )
        present = [part for layer in answer.past_key_values.layers for part in (layer.keys, layer.values)]
        return (answer.logits, *present)


class _Classifier(torch.nn.Module):
    """A model that labels a text or its tokens."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def check(source: Path, settings: Settings) -> None:
    """Raises:
    HeadwaterError: the packages are not installed, or a tolerance is missing.
    """
    architecture.head(source)
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise HeadwaterError(
            f"ONNX needs {', '.join(missing)}: pip install '.[onnx]', or take onnx out of export.formats"
        )
    for precision in settings.precisions:
        if precision not in settings.tolerance:
            raise HeadwaterError(f"params.yaml: export.onnx.tolerance has none for {precision}")


def write(source: Path, target: Path, settings: Settings, name: str) -> list[Variant]:
    """Write the model folder ``source`` as ``target/onnx``, with the tokenizer beside the files."""
    folder = target / "onnx"
    folder.mkdir()
    shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")
    whole = folder / _FILES["f32"]
    _export(architecture.load(source), whole)
    variants = []
    for precision in settings.precisions:
        path = folder / _FILES[precision]
        if precision == "int8":
            _quantise(whole, path)
        files = sorted(folder.glob(f"{path.name}*"))
        label, tolerance = f"onnx-{precision}", settings.tolerance[precision]
        variants.append(Variant(label, files, tolerance, exact=precision == "f32", load=partial(load, path)))
    if "f32" not in settings.precisions:
        for path in folder.glob(f"{whole.name}*"):
            path.unlink()
    return variants


def load(path: Path) -> Loaded:
    """A file as onnxruntime runs it on the processor, with the tokenizer that lies beside."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = profile().threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(path.parent / "tokenizer.json"))
    tokenizer.encode_special_tokens = True  # a literal "<s>" is text
    past = {one.name: one.shape for one in session.get_inputs() if one.name.startswith("past_key_values.")}

    def encode(texts: Sequence[str]) -> list[list[int]]:
        return [one.ids for one in tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def step(ids: Any, cache: dict[str, Any]) -> list[Any]:
        before = next(iter(cache.values())).shape[2] if cache else 0
        rows, length = ids.shape
        feed = {"input_ids": ids, "attention_mask": np.ones((rows, before + length), np.int64), **cache}
        if cache:
            feed["position_ids"] = np.arange(before, before + length)[None].repeat(rows, 0)
        return list(session.run(None, feed))

    def empty(rows: int) -> dict[str, Any]:
        return {name: np.zeros((rows, shape[1], 0, shape[3]), np.float32) for name, shape in past.items()}

    def logits(sequence: Sequence[int]) -> torch.Tensor:
        return torch.from_numpy(step(np.array([sequence]), empty(1))[0][0])

    def greedy(prompts: Sequence[Sequence[int]], length: int) -> list[list[int]]:
        ids, cache, found = np.array(prompts), empty(len(prompts)), []
        for _ in range(length):
            answer, *present = step(ids, cache)
            ids, cache = answer[:, -1:].argmax(-1), dict(zip(past, present, strict=True))
            found.append(ids)
        joined: list[list[int]] = np.concatenate(found, 1).tolist()
        return joined

    return Loaded(encode, logits, greedy if past else None)


def _quantise(whole: Path, path: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(whole)
    # It turns matrices around and infers shapes anew, which those that torch has noted would contradict.
    del model.graph.value_info[:]
    quantize_dynamic(model, path, weight_type=QuantType.QInt8)


def _export(model: Any, path: Path) -> None:
    config = model.config
    rows, length, before = 2, 3, 4  # of the example: any but 0 and 1, which are taken for constants
    ids = {0: "batch", 1: "sequence"}
    if model.can_generate():
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        layers = range(config.num_hidden_layers)
        past = [torch.zeros(rows, heads, before, size) for _ in range(2 * len(layers))]
        names = [f"{layer}.{part}" for layer in layers for part in ("key", "value")]
        wrapped: torch.nn.Module = _Causal(model)
        example: tuple[Any, ...] = (
            torch.ones(rows, length, dtype=torch.long),
            torch.ones(rows, before + length, dtype=torch.long),
            torch.arange(before, before + length).repeat(rows, 1),
            past,
        )
        shapes: tuple[Any, ...] = (ids, {0: "batch", 1: "total"}, ids, [{0: "batch", 2: "past"}] * len(past))
        inputs = ["input_ids", "attention_mask", "position_ids", *(f"past_key_values.{name}" for name in names)]
        outputs = ["logits", *(f"present.{name}" for name in names)]
    else:
        wrapped = _Classifier(model)
        tokens = torch.full((rows, length), 9)  # no control token
        example, shapes = (tokens, torch.ones_like(tokens)), (ids, ids)
        inputs, outputs = ["input_ids", "attention_mask"], ["logits"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch and copyreg about torch's own doings
        program = torch.onnx.export(
            wrapped.eval(),
            example,
            None,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=inputs,
            output_names=outputs,
            opset_version=_OPSET,
            verbose=False,
        )
    assert program
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where in which file on this machine each comes from
    size = sum(weights.numel() for weights in model.parameters()) * 4
    program.save(str(path), external_data=size > _IN_ONE_FILE)
