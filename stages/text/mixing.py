"""Mixing: how often each document is used, by its source, language, host or quality, and how much of one host.

A document's weight is the product of the weights of all rules that it meets, and how often it is expected to be used:
0 leaves it out, 0.5 keeps one in two, 2.5 uses it twice and one in two a third time. The draw is a hash of seed and id,
so it depends on no shard, no worker and no other document; a lower weight keeps a part of what a higher one keeps.
"""

import fnmatch
import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Discriminator, Field, NonNegativeInt, Tag

from stages.core import documents as document_shards
from stages.core.errors import HeadwaterError
from stages.core.params import nearest, params
from stages.core.shards import Metrics
from stages.core.takedown import host

HOST = "host"
"""The field that is no column: the host name of a document's URL."""

USES = pa.schema(
    [
        pa.field("drawn", pa.int32(), nullable=False),  # times that the weights gave the document
        pa.field("used", pa.int32(), nullable=False),  # of these, as many as its host's limit leaves
    ]
)
"""A row for each document of a shard, in the shard's order."""


Numbers = npt.NDArray[np.integer[Any]]

Weight = Annotated[float, Field(ge=0, le=100)]


@params
class Match:
    """Documents with a certain value."""

    field: str
    """Column of the documents, such as source or language, or host, the host name of the URL."""
    value: str
    """The value, or a pattern of values: `*` stands for any characters, as in `*.example.org`."""
    weight: Weight
    """How often to use such a document; 1 as it is."""


@params
class Band:
    """Documents with a number in a range, such as a score of quality."""

    field: str
    """Column of the documents that holds numbers."""
    low: float | None
    """Least number of the band; null for no limit."""
    high: float | None
    """The band ends below this number; null for no limit."""
    weight: Weight
    """How often to use such a document; 1 as it is."""


def _kind(rule: Any) -> str:
    """Which of the two a rule is, so that an error is about that one."""
    return "match" if isinstance(rule, Match) or (isinstance(rule, dict) and "value" in rule) else "band"


Rule = Annotated[Annotated[Match, Tag("match")] | Annotated[Band, Tag("band")], Discriminator(_kind)]


@params
class Mix:
    """How often documents are used."""

    weights: tuple[Rule, ...]
    """Rules {field, value, weight} and {field, low, high, weight}; all that a document meets multiply."""
    max_tokens_per_host: NonNegativeInt
    """Tokens of one host at most; 0 sets no limit. Each use counts; first uses come before second ones."""
    seed: int
    """Draws the documents."""


class _Use(NamedTuple):
    """A use of a document; they sort in the order in which a host's tokens are given out."""

    number: int
    draw: int
    id: str
    shard: int
    row: int
    tokens: int


def uses(mix: Mix, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """How often to use each document: ``inputs`` are all shards of documents, then the lengths of each one's documents.

    Writes a file of ``USES`` for each shard; the metrics say what came of each rule. Memory holds three numbers for
    each document and, where hosts are limited, an entry for each use of a document.

    Raises:
        HeadwaterError: the documents lack a column that a rule names, or it holds no numbers.
    """
    shards, encoded = inputs[: len(inputs) // 2], inputs[len(inputs) // 2 :]
    drawn: list[Numbers] = []
    by_host: dict[str, list[_Use]] = defaultdict(list)
    met: list[npt.NDArray[np.bool_]] = []
    tokens: list[Numbers] = []
    for number, (shard, lengths) in enumerate(zip(shards, encoded, strict=True)):
        tokens.append(pq.read_table(lengths, columns=["tokens"]).column("tokens").to_numpy())
        drawn.append(np.ones(len(tokens[-1]), dtype=np.int32))
        met.append(np.zeros((len(mix.weights), len(tokens[-1])), dtype=bool))
        for row, document in enumerate(_read(shard, mix) if mix.weights or mix.max_tokens_per_host else ()):
            draw = _draw(mix.seed, document["id"])
            met[-1][:, row] = [_meets(document, rule) for rule in mix.weights]
            weight = math.prod(rule.weight for rule, meets in zip(mix.weights, met[-1][:, row], strict=True) if meets)
            drawn[-1][row] = times = _times(weight, draw)
            if mix.max_tokens_per_host:
                size = int(tokens[-1][row])
                by_host[document[HOST]] += [_Use(use, draw, document["id"], number, row, size) for use in range(times)]
    used = _limited(drawn, by_host, mix.max_tokens_per_host)
    for output, *columns in zip(outputs.values(), drawn, used, strict=True):
        pq.write_table(pa.table(columns, schema=USES), output, compression="zstd")
    count = sum(map(len, drawn))
    return {"in": count, "out": count, "rules": _shares(mix, met, used, tokens)}


def _limited(drawn: Sequence[Numbers], by_host: Mapping[str, list[_Use]], limit: int) -> list[Numbers]:
    """Of the times drawn, those for which a host's limit leaves room."""
    used = [times.copy() for times in drawn]
    for of_host in by_host.values():
        total = 0
        for use in sorted(of_host):
            if total + use.tokens > limit:
                used[use.shard][use.row] -= 1
            else:
                total += use.tokens
    return used


def _shares(
    mix: Mix, met: Sequence[npt.NDArray[np.bool_]], used: Sequence[Numbers], tokens: Sequence[Numbers]
) -> Metrics:
    """For each rule how many documents meet it and are used, and their tokens, each use counted."""
    shares: Metrics = {label(rule): {"documents": 0, "tokens": 0} for rule in mix.weights}
    for rows, times, sizes in zip(met, used, tokens, strict=True):
        for rule, meets in zip(mix.weights, rows, strict=True):
            shares[label(rule)]["documents"] += int((times[meets] > 0).sum())
            shares[label(rule)]["tokens"] += int((times[meets] * sizes[meets]).sum())
    return shares


def label(rule: Match | Band) -> str:
    """What metrics call a rule: its field and its value or range."""
    if isinstance(rule, Match):
        return f"{rule.field} {rule.value}"
    return f"{rule.field} {'' if rule.low is None else rule.low} to {'' if rule.high is None else rule.high}".rstrip()


def _read(shard: Path, mix: Mix) -> Iterator[dict[str, Any]]:
    """The documents of a shard with the columns that rules name, and ``host``."""
    held = set(pq.read_schema(shard).names)
    wanted = {rule.field for rule in mix.weights} - {HOST}
    for field in sorted(wanted - held):
        raise HeadwaterError(
            f"params.yaml: pack.mix.weights: documents have no field {field}{nearest(field, held | {HOST})}"
        )
    for document in document_shards.read(shard, sorted({"id", "url"} | wanted)):
        yield document | {HOST: host(document["url"])}


def _meets(document: Mapping[str, Any], rule: Match | Band) -> bool:
    value = document[rule.field]
    if value is None:
        return False
    if isinstance(rule, Match):
        return fnmatch.fnmatchcase(str(value), rule.value)
    if not isinstance(value, int | float):
        raise HeadwaterError(f"params.yaml: pack.mix.weights: {rule.field} holds no numbers: give a value, no band")
    return (rule.low is None or rule.low <= value) and (rule.high is None or value < rule.high)


def _draw(seed: int, name: str) -> int:
    """A number below 2^64 from seed and id."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest())


def _times(weight: float, draw: int) -> int:
    """How often a document of that weight is used: the whole part, and once more for that share of all draws."""
    whole = math.floor(weight)
    return whole + (draw < (weight - whole) * 2**64)
