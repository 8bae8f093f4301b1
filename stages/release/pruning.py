"""Magnitude pruning: the smallest weights of every matrix of the layers become 0 (Han et al., arXiv 1506.02626).

The share is the same for each matrix, and embeddings and output layer are left alone: what Sun et al. (arXiv
2306.11695, section 4) call magnitude pruning, the method that others are held against. No file gets smaller by itself:
zeros compress, and some hardware leaves them out.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from stages.core import adapted
from stages.core.errors import HeadwaterError
from stages.release import architecture, parity, transformers_folder


def check(source: Path, share: float) -> None:
    """Raises:
    HeadwaterError: the source is an adapter beside its base, whose weights are not its own.
    """
    if share and adapted.is_adapter(source):
        raise HeadwaterError(f"{source}: prefix and prompt tuning leave no weights to prune: set export.pruning to 0")


def prune(source: Path, target: Path, share: float) -> dict[str, int]:
    """Write the model folder ``source`` to ``target`` with that share (0–1) of its matrices at 0: counts of weights."""
    model = architecture.load(source)
    matrices = _matrices(model)
    with torch.no_grad():
        for weights in matrices:
            # By place, not by a threshold, which equal weights would share.
            smallest = weights.abs().flatten().sort(stable=True).indices[: int(share * weights.numel())]
            weights.view(-1)[smallest] = 0
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors", "*.safetensors.index.json"))
    model.save_pretrained(target)
    zeros = sum(int((weights == 0).sum()) for weights in matrices)
    return {"weights": sum(weights.numel() for weights in matrices), "zeros": zeros}


def cost(expected: parity.Expected, pruned: Path) -> dict[str, float]:
    """Bits per byte more than the model's own, with their standard error; nothing of a model that does not write.

    Args:
        expected: What the model makes of the texts that formats are compared on.
        pruned: Folder of the pruned model.
    """
    loaded = transformers_folder.original(pruned)
    logits = [loaded.logits(sequence) for sequence in expected.sequences]
    added = parity.added_bits_per_byte(expected, logits) if loaded.greedy else None
    return {} if added is None else parity.costs(added)


def _matrices(model: Any) -> list[torch.nn.Parameter]:
    """Of the layers: those that the output layer, or another head, is not among."""
    kinds = (torch.nn.Linear, Conv1D)  # GPT-2's
    return [module.weight for module in model.base_model.modules() if isinstance(module, kinds)]
