"""A prefix or a prompt, which no weights can take in: exported as PEFT reads it, with the model that it goes with."""

import shutil
from pathlib import Path
from typing import Any

import torch

from stages.core import adapted
from stages.core.errors import HeadwaterError
from stages.release import architecture, transformers_folder

LABEL = "peft"


def write(source: Path, target: Path, formats: tuple[str, ...]) -> dict[str, Any]:
    """Copy the adapter folder ``source`` to ``target``, load it there, and compare: figures of the format, by its name.

    Raises:
        HeadwaterError: another format is asked for, or the copy does not answer as the original does.
    """
    if formats != ("transformers",):
        raise HeadwaterError(
            f"{source}: prefix and prompt tuning cannot be merged into weights: set export.formats to [transformers]"
        )
    shutil.copytree(source, target, dirs_exist_ok=True)
    original, copied = (architecture.load(folder) for folder in (source, target))
    ids = torch.arange(min(original.config.vocab_size, original.config.max_position_embeddings)).unsqueeze(0)
    with torch.inference_mode():
        difference = float((original(input_ids=ids).logits - copied(input_ids=ids).logits).abs().max())
    if difference:
        raise HeadwaterError(f"{target}: answers otherwise than {source}, by {difference:.2g}")
    files = [path for path in target.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return {LABEL: {"files": len(files), "bytes": size, "max_logit_difference": difference}}


def tensors(folder: Path) -> int:
    """Tensors of the adapter and of its base."""
    return sum(transformers_folder.tensors(one) for one in (folder, folder / adapted.BASE))
