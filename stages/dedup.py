"""Drop exact and near-duplicate documents, keeping one of each group; cut out passages that other documents have."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from pydantic import PositiveInt

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.params import nearest, params
from stages.core.stage import Metrics, main
from stages.web.duplicates import buckets, deduplication, passages, repeats, signatures


@params
class Params:
    similarity: float
    """Jaccard similarity of word n-grams at or above which two documents are duplicates, 0–1."""
    keep: str
    """Which of a group stays: the longest, the earliest captured, the first by WARC name and offset, or the name of a
    column of scores, for the one that has the highest. Ties are broken by id."""
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
    paths = shards.files(documents)
    column = _score(params.keep, paths)
    signing = [
        shards.Unit(
            (path,),
            {
                "sources": f"{path.stem}.json",
                **dict.fromkeys(("table", "shingles", *signatures.LABELS), path.stem),
            },
        )
        for path in paths
    ]
    signed = shards.build(signatures.sign, [params.minhash, column], signing, label="dedup-signatures")
    tables, sources = _outputs(signed, "table"), _outputs(signed, "sources")
    bucketing = [
        shards.Unit((*_outputs(signed, label), *tables, *sources), {"members": f"{label}.i8", "starts": f"{label}.i8"})
        for label in signatures.LABELS
    ]
    found = shards.build(buckets.bucket, params.keep, bucketing, label="dedup-buckets", count="keys")
    shared = [one.outputs[name] for one in found for name in ("members", "starts")]
    grouping = shards.Unit((*tables, *_outputs(signed, "shingles"), *shared), {path.stem: path.name for path in paths})
    settings = [params.similarity, params.compared, [path.stem for path in paths]]
    (grouped,) = shards.build(deduplication.group, settings, [grouping], label="dedup-groups")
    decisions = [grouped.outputs[path.stem] for path in paths]
    cuts = [
        _repeats(kind, length, most, params.keep, list(zip(paths, decisions, strict=True)), (*tables, *sources))
        for kind, length, most in (
            ("paragraphs", params.passages.paragraph_characters, params.passages.paragraph_documents),
            ("runs", params.passages.run_words, 1),
        )
        if length
    ]
    dividing = [
        shards.Unit((path, decision, *(own[path.stem] for own in cuts)), {"kept": path.name, "dropped": path.name})
        for path, decision in zip(paths, decisions, strict=True)
    ]
    divided = shards.build(deduplication.divide, [params.similarity, params.passages], dividing, label="dedup")
    shards.publish(divided, "kept", kept)
    shards.publish(divided, "dropped", dropped)
    return {**shards.total(one.metrics for one in divided), "groups": grouped.metrics["groups"]}


def _score(keep: str, paths: Sequence[Path]) -> str:
    """The column that says which document stays; empty if another rule does."""
    columns = [field.name for field in pq.read_schema(paths[0]) if buckets.is_score(field)] if paths else []
    if keep in buckets.RULES or not paths:
        return ""
    if keep not in columns:
        known = nearest(keep, [*buckets.RULES, *columns])
        raise HeadwaterError(f"params.yaml: dedup.keep is neither a rule nor a column of scores{known}")
    return keep


def _outputs(built: Sequence[shards.Built], label: str) -> tuple[Path, ...]:
    return tuple(one.outputs[label] for one in built)


def _repeats(
    kind: str, length: int, most: int, keep: str, documents: Sequence[tuple[Path, Path]], tables: tuple[Path, ...]
) -> Mapping[str, Path]:
    """Name of a shard to what its documents lose of the passages of one ``kind``.

    Args:
        kind: ``paragraphs`` or ``runs``.
        length: Of a passage, at least, in characters or words.
        most: Documents that keep it.
        keep: The rule by which they are chosen.
        documents: Each shard, and what is dropped of it.
        tables: Of all shards the tables, then the sources.
    """
    collecting = [shards.Unit((path, decision), {"entries": path.stem}) for path, decision in documents]
    collected = shards.build(repeats.collect, [kind, length], collecting, label=f"dedup-{kind}")
    names = [path.stem for path, _ in documents]
    choosing = shards.Unit((*_outputs(collected, "entries"), *tables), {name: f"{name}.{kind}" for name in names})
    (chosen,) = shards.build(repeats.choose, [keep, most, names], [choosing], label=f"dedup-{kind}-cut", count="cuts")
    return chosen.outputs


if __name__ == "__main__":
    main(run, workers=True)
