"""Tokenise the training documents and pack them into rows: token shards, with an index back to the documents.

Each shard of documents is encoded and packed for itself: a crawl that grew by a shard adds one and leaves the others.
How often documents are used is decided over all of them, from their ids, hosts and scores; no text is read for it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from stages.core import documents as document_shards
from stages.core import fingerprint, shards
from stages.core import tokens as token_shards
from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.progress import log
from stages.core.stage import Metrics, main
from stages.text import encoding, mixing, rows, tokenizers


@params
class Params:
    context: Annotated[int, Field(ge=1, le=1 << 24)]
    """Tokens a row trains on; a row is one longer, for the token after the last."""
    method: Literal["best_fit", "concatenate"]
    """best_fit cuts no document that fits a row and pads; concatenate cuts wherever a row ends."""
    mix: mixing.Mix
    """How often documents are used, by source, language, host or quality, and how much of one host."""


def run(params: Params, *, documents: Path, tokenizer: Path, tokens: Path) -> Metrics:
    """Tokenise and pack every shard.

    Args:
        documents: training documents
        tokenizer: folder of the tokenizer
        tokens: folder for the token shards, their index, pack.json, and ids of documents that were not used
    """
    vocab_size = tokenizers.load(tokenizer).vocab_size
    file = tokenizers.file(tokenizer)
    paths = document_shards.files(documents)
    encoded = _encode(paths, file)
    mixed = _mix(params.mix, paths, encoded)
    packed = _arrange(params, encoded, list(mixed.outputs.values()))
    metrics = shards.total(one.metrics for one in packed)
    metrics |= shards.total({key: one.metrics[key] for key in ("compared", "encoder")} for one in encoded)
    metrics["rules"] = mixed.metrics["rules"]
    for name in (mixing.label(rule) for rule in params.mix.weights if rule.weight):
        if not metrics["rules"][name]["documents"]:
            log(f"no document that is used meets {name}, as pack.mix.weights has it")
    if metrics.get("tokens", 0) <= params.context:
        raise HeadwaterError(
            f"too few tokens to train on: {metrics.get('tokens', 0)} are less than one row of pack.context "
            f"{params.context} + 1; bring more pages, loosen the filters or lower pack.context"
        )
    filled = [one for one in packed if one.metrics["rows"]]
    shards.publish(filled, "shard", tokens)
    for one in filled:
        shards.publish_file(one.outputs["index"], tokens / one.outputs["index"].name)
    for one in packed:
        if one.metrics["dropped"]:
            shards.publish_file(one.outputs["dropped"], tokens / one.outputs["dropped"].name)
    description = {
        "context": params.context,
        "vocab_size": vocab_size,
        "dtype": token_shards.narrowest(vocab_size).name,
        "pad_id": tokenizers.PAD,
        "method": params.method,
        "tokenizer": fingerprint.file_hash(file),
        **{key: metrics[key] for key in ("rows", "tokens", "padding")},
        "shards": [
            token_shards.described(one.outputs["shard"], one.outputs["index"])
            | {key: one.metrics[key] for key in ("rows", "tokens", "padding")}
            for one in filled
        ],
    }
    (tokens / token_shards.DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n", "utf-8")
    metrics["padding_share"] = round(metrics["padding"] / (metrics["tokens"] + metrics["padding"]), 6)
    metrics["bytes_per_token"] = round(metrics["bytes"] / metrics["tokens"], 4)
    return metrics


def _encode(documents: Sequence[Path], tokenizer: Path) -> list[shards.Built]:
    units = [
        shards.Unit((path, tokenizer), {"ids": f"{path.stem}.npy", "documents": f"{path.stem}.parquet"})
        for path in documents
    ]
    return shards.build(encoding.encode_shard, None, units, label="pack-encode")


def _mix(mix: mixing.Mix, documents: Sequence[Path], encoded: Sequence[shards.Built]) -> shards.Built:
    """For each shard the file that says how often to use its documents; a host's limit counts over all shards."""
    lengths = [one.outputs["documents"] for one in encoded]
    unit = shards.Unit((*documents, *lengths), {path.stem: path.name for path in documents})
    (built,) = shards.build(mixing.uses, mix, [unit], label="pack-mix")
    return built


def _arrange(params: Params, encoded: Sequence[shards.Built], uses: Sequence[Path]) -> list[shards.Built]:
    units = []
    for one, used in zip(encoded, uses, strict=True):
        shard = f"{used.stem}.npy"
        outputs = {"shard": shard, "index": token_shards.index_name(shard), "dropped": f"{used.stem}.dropped.parquet"}
        units.append(shards.Unit((one.outputs["ids"], one.outputs["documents"], used), outputs))
    return shards.build(rows.arrange, [params.context + 1, params.method], units, label="pack")


if __name__ == "__main__":
    main(run, workers=True)
