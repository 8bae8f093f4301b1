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
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Discriminator, NonNegativeFloat, NonNegativeInt, Tag

from stages.core import documents as document_shards
from stages.core.errors import HeadwaterError
from stages.core.params import nearest, params
from stages.core.shards import Metrics

HOST = "host"
"""The field that is no column: the host name of a document's URL."""

USES = pa.schema(
    [
        pa.field("drawn", pa.int32(), nullable=False),  # times that the weights gave the document
        pa.field("used", pa.int32(), nullable=False),  # of these, as many as its host's limit leaves
    ]
)
"""A row for each document of a shard, in the shard's order."""


@params
class Match:
    """Documents with a certain value."""

    field: str
    """Column of the documents, such as source or language, or host, the host name of the URL."""
    value: str
    """The value, or a pattern of values: `*` stands for any characters, as in `*.example.org`."""
    weight: NonNegativeFloat
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
    weight: NonNegativeFloat
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

    Writes a file of ``USES`` for each shard. Memory holds two numbers for each document and, where hosts are limited,
    an entry for each use of a document.

    Raises:
        HeadwaterError: the documents lack a column that a rule names, or it holds no numbers.
    """
    shards, encoded = inputs[: len(inputs) // 2], inputs[len(inputs) // 2 :]
    drawn: list[npt.NDArray[np.int32]] = []
    by_host: dict[str, list[_Use]] = defaultdict(list)
    for number, (shard, lengths) in enumerate(zip(shards, encoded, strict=True)):
        tokens = pq.read_table(lengths, columns=["tokens"]).column("tokens").to_pylist()
        drawn.append(np.ones(len(tokens), dtype=np.int32))
        for row, document in enumerate(_read(shard, mix) if mix.weights or mix.max_tokens_per_host else ()):
            draw = _draw(mix.seed, document["id"])
            times = _times(math.prod(rule.weight for rule in mix.weights if _meets(document, rule)), draw)
            drawn[-1][row] = times
            if mix.max_tokens_per_host:
                found = (_Use(use, draw, document["id"], number, row, tokens[row]) for use in range(times))
                by_host[document[HOST]].extend(found)
    used = [times.copy() for times in drawn]
    for of_host in by_host.values():
        for use in _beyond(of_host, mix.max_tokens_per_host):
            used[use.shard][use.row] -= 1
    for output, *columns in zip(outputs.values(), drawn, used, strict=True):
        pq.write_table(pa.table(columns, schema=USES), output, compression="zstd")
    return {"in": sum(map(len, drawn)), "out": sum(map(len, drawn))}


def _read(shard: Path, mix: Mix) -> Iterator[dict[str, Any]]:
    """The documents of a shard with the columns that rules name, and ``host``."""
    held = set(pq.read_schema(shard).names)
    wanted = {rule.field for rule in mix.weights} - {HOST}
    for field in sorted(wanted - held):
        raise HeadwaterError(f"params.yaml: pack.mix.weights: documents have no field {field}{nearest(field, held)}")
    for document in document_shards.read(shard, sorted({"id", "url"} | wanted)):
        yield document | {HOST: _host(document["url"])}


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # a bracket that is no IPv6 address
        return ""


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


def _beyond(of_host: list[_Use], limit: int) -> Iterator[_Use]:
    """The uses of a host's documents for which its limit leaves no room."""
    total = 0
    for use in sorted(of_host):
        if total + use.tokens > limit:
            yield use
        else:
            total += use.tokens
