"""Write the model in the formats people use, with its card, and prove that each is the same model.

Every format is read back as its users read it, and compared on held-out text and hostile text: token ids must be equal,
logits within a tolerance, and greedy continuations equal where the weights have all their digits.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import torch
import transformers.utils.logging
from pydantic import Field
from transformers import AutoConfig

from stages.core import adapted, shards
from stages.core.params import LesserShare, params
from stages.core.runtime import profile
from stages.core.stage import Metrics, main
from stages.release import (
    compared_texts,
    figures,
    gguf_file,
    model_card,
    onnx_file,
    parity,
    pruning,
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
    pruning: LesserShare
    """Share of each matrix of the layers that becomes 0, the smallest weights, before anything is written."""
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
    pruning.check(source, params.pruning)
    if adapted.is_adapter(source):
        made = {"formats": unmerged.write(source, target, params.formats), "compared": {"texts": 1}}
        held = unmerged.tensors(source)
    else:
        made, held = _formats(params, source, heldout, target), transformers_folder.tensors(source)
    described = model_card.Described(
        name=params.name,
        licence=params.licence,
        energy=params.energy,
        model=source,
        manifest=manifest,
        heldout=heldout,
        formats=made["formats"],
        pruned=made.get("pruned", {}),
        measured=figures.read(inputs[3:]),
    )
    model_card.write(target, described)
    return {"in": held, "out": held, "dropped": {}, **made}


def _formats(params: Params, source: Path, heldout: Path, target: Path) -> dict[str, Any]:
    """Write and compare every format: its figures by label, how much was compared, and what pruning cost."""
    for name in params.formats:
        FORMATS[name].check(source, getattr(params, name))
    expected = _expect(source, heldout, params.parity)
    made: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if params.pruning:
            pruned = Path(folder) / "pruned"
            counts = pruning.prune(source, pruned, params.pruning)
            made["pruned"] = {"share": params.pruning, **counts, **pruning.cost(expected, pruned)}
            source, expected = pruned, _expect(pruned, heldout, params.parity)
        made["formats"] = {
            variant.label: parity.figures(variant, expected)
            for name in params.formats
            for variant in FORMATS[name].write(source, target, getattr(params, name), params.name)
        }
    made["compared"] = {
        "texts": len(expected.texts),
        "scored": len(expected.scored),
        "continuations": len(expected.continuations),
    }
    return made


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


if __name__ == "__main__":
    main(run)
