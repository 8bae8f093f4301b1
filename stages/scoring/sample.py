"""Which held-out documents are evaluated, and the groups that figures are given for."""

import hashlib
import heapq
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import PositiveInt

from stages.core import documents
from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.shards import Metrics
from stages.core.takedown import host


@params
class Sample:
    """Which documents."""

    seed: int
    """Of the sample."""
    max_documents: PositiveInt
    """Held-out documents that are evaluated at most; of more, a sample by hash of the id."""


def rank(seed: int, name: str) -> str:
    """A place in a random order that depends on nothing but ``seed`` and ``name``."""
    return hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=16).hexdigest()


def select(sample: Sample, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Write the evaluated documents, in the order of the shards, to ``documents``.

    Raises:
        HeadwaterError: no held-out document has any text.
    """
    ranks = (
        rank(sample.seed, row["id"]) for path in inputs for row in documents.read(path, ["id", "text"]) if row["text"]
    )
    chosen = heapq.nsmallest(sample.max_documents, ranks)
    if not chosen:
        raise HeadwaterError("no held-out document to evaluate; the share that decontaminate holds out is too small")
    total = empty = 0
    with documents.Writer(outputs["documents"]) as writer:
        for path in inputs:
            for document in documents.read(path):
                total += 1
                empty += not document["text"]
                if document["text"] and rank(sample.seed, document["id"]) <= chosen[-1]:
                    writer.write(document)
    dropped = {"empty": empty, "not_sampled": total - empty - writer.count}
    return {"in": total, "out": writer.count, "dropped": {reason: n for reason, n in dropped.items() if n}}


def groups(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[int]]]:
    """Indices of ``rows`` (with ``url`` and ``language``): ``overall``, ``by_language`` and ``by_host``; sorted."""
    languages: dict[str, list[int]] = {}
    hosts: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        languages.setdefault(row["language"], []).append(index)
        hosts.setdefault(host(row["url"]), []).append(index)
    return {
        "overall": {"all": list(range(len(rows)))},
        "by_language": dict(sorted(languages.items())),
        "by_host": dict(sorted(hosts.items())),
    }
