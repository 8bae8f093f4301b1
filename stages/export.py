"""Write the model in the formats people use, with its card, and prove that each is the same model.

Every format is read back as its users read it; token ids must be equal and logits within a tolerance.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated

import torch
import transformers.utils.logging
from pydantic import Field

from stages.core import shards
from stages.core.params import params
from stages.core.runtime import profile
from stages.core.stage import Metrics, main
from stages.release import figures, gguf_file, model_card, parity, transformers_folder

FORMATS: dict[str, ModuleType] = {"transformers": transformers_folder, "gguf": gguf_file}
"""Name to module; each has ``Settings``, ``write`` and ``load``, and a section of that name in the parameters."""


@params
class Params:
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Name of the model: in its card and of its GGUF file."""
    licence: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    """Licence of the weights, as the Hugging Face hub spells it: apache-2.0, cc-by-sa-4.0, other."""
    transformers: transformers_folder.Settings
    """The folder that transformers and vLLM load."""
    gguf: gguf_file.Settings
    """The file that llama.cpp loads."""


def run(params: Params, *, model: Path, measured: tuple[Path, ...], exported: Path) -> Metrics:
    """Write, read back, compare.

    Args:
        model: model folder
        measured: metrics of the stages before, for the model card
        exported: folder for the exported model
    """
    unit = shards.Unit(inputs=(model, *measured), outputs={"exported": "export"})
    (built,) = shards.build(export, params, [unit], label="export", count="tensors")
    shards.publish_file(built.outputs["exported"], exported)
    return built.metrics


def export(params: Params, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Export the model folder ``inputs[0]``; the other inputs are metrics."""
    torch.set_num_threads(profile().threads)
    transformers.utils.logging.disable_progress_bar()
    source, target = inputs[0], outputs["exported"]
    original = transformers_folder.load_folder(source)
    expected = parity.expect(original, parity.TEXTS)
    held = len(original.model.state_dict())
    formats = {}
    for name, module in FORMATS.items():
        settings = getattr(params, name)
        files = module.write(source, target, settings, params.name)
        difference = parity.check(name, module.load(files), expected, settings.tolerance)
        formats[name] = {
            "files": len(files),
            "bytes": sum(file.stat().st_size for file in files),
            # Two digits: the last ones depend on how many threads add the products up.
            "max_logit_difference": float(f"{difference:.2g}"),
        }
    written = transformers_folder.tensors(sorted(target.iterdir()))
    model_card.write(target, params.name, params.licence, formats, figures.read(inputs[1:]), original.model)
    return {
        "in": held,
        "out": written,
        "dropped": {"tied": held - written},
        "formats": formats,
        "texts_compared": len(expected),
    }


if __name__ == "__main__":
    main(run)
