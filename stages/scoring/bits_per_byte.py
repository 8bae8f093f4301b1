"""Bits per byte: how many bits a model needs for a byte of text, comparable between tokenizers and with compressors."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stages.core import documents
from stages.core.progress import meter
from stages.core.shards import Metrics
from stages.scoring.likelihood import Scorer, Windows
from stages.scoring.sample import groups

_SCORES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),  # of UTF-8
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("bits", pa.float64(), nullable=False),
    ]
)


def ratio(bits: Sequence[float], sizes: Sequence[float]) -> dict[str, float | None]:
    """Bits per byte of some documents and its standard error over documents.

    The figure is a ratio of two sums, so the error is that of the ratio estimator (Cochran, Sampling Techniques, 3rd
    ed., section 2.11): documents are drawn, not bytes, and long ones weigh more. None for a single document.
    """
    # sum() adds floats otherwise from Python 3.12 on.
    value = math.fsum(bits) / math.fsum(sizes)
    count = len(bits)
    if count < 2:
        return {"bits_per_byte": value, "stderr": None}
    residual = math.fsum((b - value * s) ** 2 for b, s in zip(bits, sizes, strict=True))
    return {"bits_per_byte": value, "stderr": math.sqrt(residual * count / (count - 1)) / math.fsum(sizes)}


def measure(windows: Windows, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Score documents under a model: ``inputs`` are the model and a shard of documents.

    Each document is scored from the token that begins a text; its end is not, as compressors do not code it either.
    Writes ``scores`` (Parquet, a row for each document) and ``figures`` (JSON, for all and for each group).
    """
    folder, shard = inputs
    scorer = Scorer(folder, windows)
    read = list(documents.read(shard, ["id", "url", "language", "text"]))
    encoded = [scorer.encode(row["text"]) for row in read]
    texts = [scorer.windows([scorer.begin], tokens) for tokens in encoded]
    label = f"bits per byte, {outputs['scores'].stem}"
    with meter(label, sum(len(w.tokens) - 1 for text in texts for w in text), "tokens") as progress:
        scores = scorer.score(texts, progress.advance)
    rows = [
        {
            "id": row["id"],
            "url": row["url"],
            "language": row["language"],
            "bytes": len(row["text"].encode()),
            "tokens": len(tokens),
            "bits": score.nats / math.log(2),
        }
        for row, tokens, score in zip(read, encoded, scores, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCORES), outputs["scores"], compression="zstd")
    outputs["figures"].write_text(json.dumps(_figures(rows), sort_keys=True), "utf-8")
    return {"in": len(rows), "out": len(rows)}


def _figures(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, dict[str, float | None]]]:
    figures: dict[str, dict[str, dict[str, float | None]]] = {}
    for kind, members in groups(rows).items():
        figures[kind] = {}
        for name, indices in members.items():
            chosen = [rows[index] for index in indices]
            sizes = [row["bytes"] for row in chosen]
            counts = {"documents": len(chosen), "bytes": sum(sizes), "tokens": sum(row["tokens"] for row in chosen)}
            figures[kind][name] = {**counts, **ratio([row["bits"] for row in chosen], sizes)}
    return figures
