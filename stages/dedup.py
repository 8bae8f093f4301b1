"""Drop exact and near-duplicate documents, keeping one of each group; cut out passages that other documents have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field, PositiveInt

from stages.core import documents as document_shards
from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.params import nearest, params
from stages.core.stage import Metrics, main
from stages.web.duplicates import buckets, deduplication, passages, repeats, signatures


@params
class Params:
    similarity: Annotated[float, Field(gt=0, le=1)]
    """Jaccard similarity of word n-grams at or above which two documents are duplicates, 0–1."""
    keep: str
    """Which of a group stays: the earliest captured, the first by WARC name and offset, the longest, or the name of a
    column of scores, for the one that has the highest. Ties are broken by date, then by WARC name and offset. With
    earliest an archive captured later moves nothing of those before it."""
    compared: PositiveInt
    """Documents that a bucket's others are compared with, at most, the first by ``keep``: a bound on the work where
    very many pages share text without being duplicates."""
    minhash: signatures.Signing
    """How candidates are found."""
    passages: passages.Passages
    """What is cut out of the documents that stay."""


def run(params: Params, *, documents: Path, kept: Path, dropped: Path) -> Metrics:
    """Sign every shard, bring documents together that share a key, decide over all, divide every shard.

    Args:
        documents: shards of documents from filter
        kept: shards of the documents that stay
        dropped: shards of the others, with the id of the document that each duplicates and their similarity
    """
    paths = document_shards.files(documents)
    column = _score(params.keep, paths)
    lengths = {"paragraphs": params.passages.paragraph_characters, "runs": params.passages.run_words}
    asked = {kind: length for kind, length in lengths.items() if length}
    labels = ("sources", "table", "shingles", *signatures.LABELS, *asked)
    signing = [shards.Unit((path,), dict.fromkeys(labels, path.stem)) for path in paths]
    signed = shards.build(signatures.sign, [params.minhash, column, asked], signing, label="dedup-signatures")
    tables, sources = _outputs(signed, "table"), _outputs(signed, "sources")
    bucketing = [
        shards.Unit((*_outputs(signed, label), *tables, *sources), {"members": f"{label}.i8", "starts": f"{label}.i8"})
        for label in signatures.LABELS
    ]
    found = shards.build(buckets.bucket, params.keep, bucketing, label="dedup-buckets", count="keys")
    shared = [one.outputs[name] for one in found for name in ("members", "starts")]
    inputs = (*tables, *_outputs(signed, "shingles"), *shared)
    grouping = shards.Unit(inputs, {path.stem: f"{path.stem}.dropped" for path in paths})
    settings = [params.similarity, params.compared, [path.stem for path in paths]]
    (grouped,) = shards.build(deduplication.group, settings, [grouping], label="dedup-groups")
    decisions = [grouped.outputs[path.stem] for path in paths]
    cuts = []
    for kind in asked:
        most = params.passages.paragraph_documents if kind == "paragraphs" else 1
        inputs = (*_outputs(signed, kind), *tables, *sources, *decisions)
        choosing = shards.Unit(inputs, {path.stem: f"{path.stem}.{kind}" for path in paths})
        told = [params.keep, most, [path.stem for path in paths]]
        cuts += shards.build(repeats.choose, told, [choosing], label=f"dedup-{kind}", count="cuts")
    dividing = [
        shards.Unit(
            (path, decision, *(one.outputs[path.stem] for one in cuts)), {"kept": path.name, "dropped": path.name}
        )
        for path, decision in zip(paths, decisions, strict=True)
    ]
    divided = shards.build(deduplication.divide, [params.similarity, params.passages], dividing, label="dedup")
    shards.publish(divided, "kept", kept)
    shards.publish(divided, "dropped", dropped)
    return {**shards.total(one.metrics for one in divided), "groups": grouped.metrics["groups"]}


def _score(keep: str, paths: Sequence[Path]) -> str:
    """The column that says which document stays; empty if another rule does."""
    if keep in buckets.RULES:
        return ""
    columns = [field.name for field in pq.read_schema(paths[0]) if buckets.is_score(field)]
    if keep not in columns:
        known = nearest(keep, [*buckets.RULES, *columns])
        raise HeadwaterError(f"params.yaml: dedup.keep is neither a rule nor a column of scores{known}")
    if not any(pc.count(pq.read_table(path, columns=[keep]).column(keep)).as_py() for path in paths):
        raise HeadwaterError(
            f"params.yaml: dedup.keep: no document has a score in the column {keep}"
            + ("; filter.annotate.classifier makes it" if keep == "quality" else "")
        )
    return keep


def _outputs(built: Sequence[shards.Built], label: str) -> tuple[Path, ...]:
    return tuple(one.outputs[label] for one in built)


if __name__ == "__main__":
    main(run, workers=True)
