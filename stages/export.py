"""Write the model in the formats people use, with its card, and prove that each is the same model.

Every format is read back as its users read it, and compared on held-out text and hostile text: token ids must be equal,
logits within a tolerance, and greedy continuations equal where the weights have all their digits.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import torch
import transformers.utils.logging
from pydantic import Field
from transformers import AutoConfig

from stages.core import adapted, shards
from stages.core.params import params
from stages.core.progress import log
from stages.core.runtime import profile
from stages.core.stage import Metrics, main
from stages.release import (
    compared_texts,
    figures,
    gguf_file,
    model_card,
    onnx_file,
    parity,
    transformers_folder,
    unmerged,
)

FORMATS: dict[str, ModuleType] = {"transformers": transformers_folder, "gguf": gguf_file, "onnx": onnx_file}
"""Name to module; each has ``Settings``, ``check`` and ``write``, and a section of that name in the parameters."""


@params
class Params:
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Name of the model: in its card and of its GGUF file."""
    licence: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    """Licence of the weights, as the Hugging Face hub spells it: apache-2.0, cc-by-sa-4.0, other."""
    energy: model_card.Energy
    """What the model card's estimate of energy assumes."""
    formats: Annotated[tuple[Literal["transformers", "gguf", "onnx"], ...], Field(min_length=1)]
    """What is written: the folder of transformers and vLLM, files of llama.cpp, files of onnxruntime (extra `onnx`)."""
    parity: parity.Settings
    """How every format is compared with the model."""
    transformers: transformers_folder.Settings
    """The folder that transformers and vLLM load."""
    gguf: gguf_file.Settings
    """The files that llama.cpp loads."""
    onnx: onnx_file.Settings
    """The files that onnxruntime loads."""


def run(
    params: Params, *, model: Path, manifest: Path, heldout: Path, measured: tuple[Path, ...], exported: Path
) -> Metrics:
    """Write, read back, compare.

    Args:
        model: model folder
        manifest: what was crawled, for the model card
        heldout: held-out documents, to compare the formats on
        measured: metrics of the stages before, for the model card
        exported: folder for the exported model
    """
    unit = shards.Unit(inputs=(model, manifest, heldout, *measured), outputs={"exported": "export"})
    (built,) = shards.build(export, params, [unit], label="export", count="tensors")
    shards.publish_file(built.outputs["exported"], exported)
    return built.metrics


def export(params: Params, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Export the first of ``inputs``, the model; then come the manifest, the held-out documents, and metrics."""
    torch.set_num_threads(profile().threads)
    transformers.utils.logging.disable_progress_bar()
    source, manifest, heldout = inputs[:3]
    target = outputs["exported"]
    target.mkdir(exist_ok=True)
    if adapted.is_adapter(source):
        formats = unmerged.write(source, target, params.formats)
        held, compared = unmerged.tensors(source), {"texts": 1}
    else:
        formats, compared = _formats(params, source, heldout, target)
        held = transformers_folder.tensors(source)
    described = model_card.Described(
        name=params.name,
        licence=params.licence,
        energy=params.energy,
        model=source,
        manifest=manifest,
        heldout=heldout,
        formats=formats,
        measured=figures.read(inputs[3:]),
    )
    model_card.write(target, described)
    return {"in": held, "out": held, "dropped": {}, "formats": formats, "compared": compared}


def _formats(
    params: Params, source: Path, heldout: Path, target: Path
) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """Write and compare every format: its figures by label, and how much was compared."""
    for name in params.formats:
        FORMATS[name].check(source, getattr(params, name))
    expected = _expect(source, heldout, params.parity)
    formats = {
        variant.label: _compare(variant, expected)
        for name in params.formats
        for variant in FORMATS[name].write(source, target, getattr(params, name), params.name)
    }
    return formats, {
        "texts": len(expected.texts),
        "scored": len(expected.scored),
        "continuations": len(expected.continuations),
    }


def _expect(source: Path, heldout: Path, settings: parity.Settings) -> parity.Expected:
    config = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    hostile, passages = compared_texts.draw(heldout, settings.texts, settings.seed)
    return parity.expect(
        transformers_folder.original(source),
        hostile,
        passages,
        settings,
        begin=config.bos_token_id,
        context=config.max_position_embeddings,
    )


def _compare(variant: parity.Variant, expected: parity.Expected) -> dict[str, Any]:
    found = parity.check(variant, expected)
    size = sum(file.stat().st_size for file in variant.files)
    figures: dict[str, Any] = {
        "files": len(variant.files),
        "bytes": size,
        # Two digits: the last ones depend on how many threads add the products up.
        "max_logit_difference": float(f"{found.logit_difference:.2g}"),
    }
    said = [f"{size / 1e6:,.1f} MB", f"logits within {found.logit_difference:.2g}"]
    if found.greedy_equal is not None:
        figures["greedy_tokens_equal"] = round(found.greedy_equal, 4)
        said.append(f"{found.greedy_equal:.0%} of the greedy tokens equal")
    if found.bits_per_byte:
        added, error = found.bits_per_byte
        figures |= {"bits_per_byte_added": round(added, 4) + 0.0, "bits_per_byte_added_stderr": round(error, 4)}
    if found.tokens_per_second:
        said.append(f"{found.tokens_per_second:,.0f} tokens/s")
    log(f"export: {variant.label}: {', '.join(said)}")
    return figures


if __name__ == "__main__":
    main(run)
