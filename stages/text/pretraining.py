"""Rows of packed tokens as rows to tune on: every token but padding is learned."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.errors import HeadwaterError
from stages.core.examples import IGNORED, Example, Material
from stages.core.tokens import TokenShards
from stages.text.sampling import Wanted, deal


class _Place(NamedTuple):
    """A row that may be drawn."""

    number: int
    source: str


def rows(folder: Path, wanted: Wanted, seed: int, limit: int) -> Material:
    """Some of the rows of token shards, of which those measured on are a share.

    Args:
        folder: Of the shards.
        wanted: How many rows, and how many of them to measure on.
        seed: Of the draw.
        limit: Tokens that the model reads at most.

    Raises:
        HeadwaterError: the rows are longer.
    """
    packed = TokenShards(folder)
    if packed.context > limit:
        raise HeadwaterError(f"{folder} holds rows of {packed.context} tokens, and the model has room for {limit}")
    places = [_Place(number, f"packed row {number}") for number in range(len(packed))]
    paths = [folder / "pack.json", *(folder / shard["file"] for shard in packed.description["shards"])]
    given = deal(places, wanted, seed, paths)

    def examples(chosen: list[_Place]) -> list[Example]:
        ids = packed.rows(np.array([place.number for place in chosen], dtype=np.int64))
        labels = np.where(ids == packed.pad_id, IGNORED, ids)
        return [
            Example(_source(packed, place.number), row[:-1].tolist(), told[1:].tolist())
            for place, row, told in zip(chosen, ids, labels, strict=True)
        ]

    learned = examples(given.learned)
    told = sum(label != IGNORED for one in learned for label in one.labels)
    counts = {"in": given.seen, "out": len(learned), "dropped": given.dropped, "answer_tokens": told}
    return Material(learned, examples(given.tested), counts, given.paths)


def _source(packed: TokenShards, row: int) -> str:
    """The documents of a row."""
    return ", ".join(dict.fromkeys(f"document {span.id}" for span in packed.documents(row)))
