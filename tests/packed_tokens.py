"""A folder of packed tokens made by hand."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.core import tokens
from stages.core.tokens import Span
from tests.small_model import CONTEXT


def write(folder: Path, documents: Sequence[tuple[str, list[int]]], vocab_size: int = 512) -> Path:
    """Rows of a document each, cut at the row's end and padded, in two shards."""
    folder.mkdir(parents=True)
    shards = []
    for number, part in enumerate((documents[: len(documents) // 2], documents[len(documents) // 2 :])):
        rows = np.full((len(part), CONTEXT + 1), 3, dtype=tokens.narrowest(vocab_size))
        spans = []
        for row, (name, ids) in enumerate(part):
            rows[row, : len(ids)] = ids[: CONTEXT + 1]
            start = row * (CONTEXT + 1)
            spans.append(Span(name, start, start + min(len(ids), CONTEXT + 1), 0))
        name = f"{number:05d}.npy"
        tokens.write(folder / name, folder / tokens.index_name(name), rows, spans)
        shards.append({"file": name, "rows": len(part)})
    about = {"context": CONTEXT, "vocab_size": vocab_size, "pad_id": 3, "tokens": 0, "shards": shards}
    (folder / tokens.DESCRIPTION).write_text(json.dumps(about))
    return folder
