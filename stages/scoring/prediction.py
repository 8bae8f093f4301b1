"""What a model with a head says of texts, in float32, and how well that is told."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from stages.core.examples import IGNORED, Example
from stages.scoring import classification

_TOKENS = 4096  # of a batch, padding included


def classes(model: Any, examples: Sequence[Example], names: Sequence[str]) -> dict[str, Any]:
    """See :func:`stages.scoring.classification.classes`."""
    guessed = np.array([said.argmax() for said in logits(model, examples)])
    return classification.classes(np.array([int(one.value) for one in examples]), guessed, names)


def tags(model: Any, examples: Sequence[Example], names: Sequence[str]) -> dict[str, Any]:
    """See :func:`stages.scoring.classification.tags`; words that were cut off are not counted."""
    true, guessed = [], []
    for one, said in zip(examples, logits(model, examples), strict=True):
        labels = np.array(one.labels)
        here = labels != IGNORED
        true.append([names[number] for number in labels[here]])
        guessed.append([names[number] for number in said.argmax(1)[here]])
    return classification.tags(true, guessed)


def scores(model: Any, examples: Sequence[Example], names: Sequence[str]) -> dict[str, Any]:
    """See :func:`stages.scoring.classification.scores`; there are no ``names``."""
    guessed = np.array([float(said[0]) for said in logits(model, examples)])
    return classification.scores(np.array([one.value for one in examples]), guessed)


@torch.no_grad()
def logits(model: Any, examples: Sequence[Example]) -> list[npt.NDArray[np.float32]]:
    """The model's logits for each example: (classes,) of a text, (tokens, classes) where each token has some.

    Texts of the same length go through the model together, and never with padding.

    Args:
        model: Of transformers.
        examples: In any order.
    """
    model.eval()
    found: dict[int, npt.NDArray[np.float32]] = {}
    lengths = np.array([len(one.ids) for one in examples])
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length)
        size = max(1, _TOKENS // int(length))
        for start in range(0, len(same), size):
            part = same[start : start + size]
            ids = torch.tensor([list(examples[at].ids) for at in part], device=model.device)
            said = model(input_ids=ids).logits.float().cpu().numpy()
            found |= dict(zip(part.tolist(), said, strict=True))
    return [found[at] for at in range(len(examples))]
