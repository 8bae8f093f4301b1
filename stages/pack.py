"""Tokenise the training documents and pack them into rows: token shards, with an index back to the documents.

Each shard of documents is packed for itself, so a crawl that grew by a shard adds one and leaves the others.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import PositiveInt

from stages.core import documents as document_shards
from stages.core import fingerprint, shards
from stages.core import tokens as token_shards
from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.stage import Metrics, main
from stages.text import tokenizers
from stages.text.packing import METHODS


@params
class Params:
    context: PositiveInt
    """Tokens a row trains on; a row is one longer, for the token after the last."""
    method: Literal["best_fit", "concatenate"]
    """best_fit cuts no document that fits a row and pads; concatenate cuts wherever a row ends."""


def run(params: Params, *, documents: Path, tokenizer: Path, tokens: Path) -> Metrics:
    """Tokenise and pack every shard.

    Args:
        documents: training documents
        tokenizer: folder of the tokenizer
        tokens: folder for the token shards, their index and pack.json
    """
    model = tokenizer / tokenizers.MODEL
    vocab_size = tokenizers.load(tokenizer).vocab_size
    units = []
    for path in shards.files(documents, "*.parquet"):
        name = f"{path.stem}.npy"
        outputs = {"shard": name, "index": token_shards.index_name(name)}
        units.append(shards.Unit(inputs=(path, model), outputs=outputs))
    built = [one for one in shards.build(pack, params, units, label="pack") if one.metrics["rows"]]
    metrics = shards.total(one.metrics for one in built)
    if metrics.get("tokens", 0) <= params.context:
        raise HeadwaterError(
            f"too few tokens to train on: {metrics.get('tokens', 0)} are less than one row of pack.context "
            f"{params.context} + 1; bring more pages, loosen the filters or lower pack.context"
        )
    shards.publish(built, "shard", tokens)
    for one in built:
        shards.publish_file(one.outputs["index"], tokens / one.outputs["index"].name)
    description = {
        "context": params.context,
        "vocab_size": vocab_size,
        "dtype": token_shards.narrowest(vocab_size).name,
        "pad_id": tokenizers.PAD,
        "method": params.method,
        "tokenizer": fingerprint.file_hash(model),
        **{key: metrics[key] for key in ("rows", "tokens", "padding")},
        "shards": [
            {"file": one.outputs["shard"].name, **{key: one.metrics[key] for key in ("rows", "tokens", "padding")}}
            for one in built
        ],
    }
    (tokens / token_shards.DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", "utf-8")
    metrics["padding_share"] = round(metrics["padding"] / (metrics["tokens"] + metrics["padding"]), 6)
    metrics["bytes_per_token"] = round(metrics["bytes"] / metrics["tokens"], 4)
    return metrics


def pack(params: Params, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Make one shard of rows, with its index, from one shard of documents and the tokenizer's model."""
    path, model = inputs
    tokenizer = tokenizers.load(model.parent)
    dtype = token_shards.narrowest(tokenizer.vocab_size)
    names, encoded, size = [], [], 0
    for document in document_shards.read(path, ("id", "text")):
        names.append(document["id"])
        encoded.append(np.array(tokenizer.encode_document(document["text"]), dtype=dtype))
        size += len(document["text"].encode())
    width = params.context + 1
    packed = METHODS[params.method]([len(ids) for ids in encoded], width)
    rows = np.full((len(packed), width), tokenizers.PAD, dtype=dtype)
    spans = []
    for number, pieces in enumerate(packed):
        start = 0
        for which, offset, length in pieces:
            rows[number, start : start + length] = encoded[which][offset : offset + length]
            first = number * width + start
            spans.append(token_shards.Span(names[which], first, first + length, offset))
            start += length
    token_shards.write(outputs["shard"], outputs["index"], rows, spans)
    count = sum(len(ids) for ids in encoded)
    counts = {"in": len(names), "out": len(names), "dropped": {}}
    return counts | {"rows": len(rows), "tokens": count, "padding": rows.size - count, "bytes": size}


if __name__ == "__main__":
    main(run)
