"""Drop exact and near-duplicate documents, keeping one of each group."""

from pathlib import Path
from typing import Literal

from stages.core import shards
from stages.core.params import params
from stages.core.stage import Metrics, main
from stages.web import duplicates


@params
class Params:
    similarity: float
    """Jaccard similarity of word n-grams at or above which two documents are duplicates, 0–1."""
    keep: Literal["longest", "earliest", "first"]
    """Which of a group stays: the one with most words, of the earliest capture, or first by WARC name and offset."""
    minhash: duplicates.Signing
    """How candidates are found."""


def run(params: Params, *, documents: Path, kept: Path, dropped: Path) -> Metrics:
    """Sign every shard, decide over all signatures at once, then divide every shard.

    Args:
        documents: shards of documents from filter
        kept: shards of the documents that stay
        dropped: shards of the others, with the id of the document that each duplicates and their similarity
    """
    paths = shards.files(documents)
    signing = [shards.Unit((path,), {"signatures": path.name, "shingles": f"{path.stem}.npy"}) for path in paths]
    signed = shards.build(duplicates.sign, params.minhash, signing, label="dedup-signatures")
    inputs = tuple(one.outputs[label] for label in ("signatures", "shingles") for one in signed)
    grouping = shards.Unit(inputs, {path.stem: path.name for path in paths})
    (grouped,) = shards.build(duplicates.group, [params.similarity, params.keep], [grouping], label="dedup-groups")
    dividing = [
        shards.Unit((path, grouped.outputs[path.stem]), {"kept": path.name, "dropped": path.name}) for path in paths
    ]
    divided = shards.build(duplicates.divide, None, dividing, label="dedup")
    shards.publish(divided, "kept", kept)
    shards.publish(divided, "dropped", dropped)
    return {**shards.total(one.metrics for one in divided), "groups": grouped.metrics["groups"]}


if __name__ == "__main__":
    main(run)
