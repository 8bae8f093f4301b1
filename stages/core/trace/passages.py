"""Where a text stands word for word in the training data: the longest passages that agree, with their pages.

The index holds a hash of every block of :data:`BLOCK` tokens, counted from the start of a row, sorted. Every window of
the text is looked up in it and what is found is extended both ways; so a passage of 2 · BLOCK - 1 tokens is always
found, because it holds a whole block wherever it lies. It takes 16 bytes for each block: 2 for a token.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from stages.core import arrays, shards
from stages.core.errors import HeadwaterError
from stages.core.tokens import Ids, TokenShards
from stages.core.trace import training
from stages.core.trace.lineage import Fact, Lineage

BLOCK = 8
"""Tokens that are looked up at a time: some five words of English."""

_CANDIDATES = 1000  # places that are looked at for one window; a phrase with more is no one's own
_TOLD = 10  # passages
_PAGES = 5  # of each

Hashes = npt.NDArray[np.uint64]


class _Match(NamedTuple):
    start: int
    end: int
    row: int
    place: int
    """Of its first token in the row."""


def find(lineage: Lineage, text: str) -> Iterator[Fact]:
    """The longest passages that ``text`` shares with the training data; those within longer ones are left out.

    Raises:
        HeadwaterError: nothing is packed, or the text is shorter than a block.
    """
    if not lineage.tokens:
        raise HeadwaterError("no packed tokens to search: `dvc repro pack` makes them")
    for packer, folder in lineage.tokens:
        packed = TokenShards(folder)
        source = next(path for path in map(Path, packer.inputs) if (path / "tokenizer.json").is_file())
        tokenizer = Tokenizer.from_file((source / "tokenizer.json").as_posix())
        tokenizer.encode_special_tokens = True  # a literal <s> is text
        ids = np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64)
        if len(ids) < BLOCK:
            raise HeadwaterError(f"the text is too short: {len(ids)} tokens, and at least {BLOCK} are looked up")
        yield from _told(lineage, packed, tokenizer, ids, _matches(packed, ids))


def _told(
    lineage: Lineage, packed: TokenShards, tokenizer: Tokenizer, ids: Ids, matches: list[_Match]
) -> Iterator[Fact]:
    passages: dict[tuple[int, int], list[_Match]] = defaultdict(list)
    for match in matches:
        passages[match.start, match.end].append(match)
    longest = sorted(passages, key=lambda at: (at[0] - at[1], at))
    told: list[tuple[int, int]] = []
    for start, end in longest:
        if len(told) == _TOLD:
            break
        if any(first <= start and end <= last for first, last in told):
            continue
        told.append((start, end))
        found = {_document(packed, match): None for match in passages[start, end]}
        urls = training.urls(lineage, packed.folder, list(found)[:_PAGES])
        where = [{"id": one, "url": urls.get(one, "")} for one in list(found)[:_PAGES]]
        about = {"tokens": end - start, "text": tokenizer.decode(ids[start:end].tolist())}
        yield Fact("passage", about | {"pages": len(found), "in": where})
    if not told:
        yield Fact("nothing", {"because": f"no passage of {2 * BLOCK - 1} tokens is in {packed.folder.as_posix()}"})


def _document(packed: TokenShards, match: _Match) -> str:
    return next(span.id for span in packed.documents(match.row) if span.start <= match.place < span.end)


def _matches(packed: TokenShards, ids: Ids) -> list[_Match]:
    """Every maximal passage of ``ids`` around a block of the data, once."""
    asked = _hashed(np.lib.stride_tricks.sliding_window_view(ids, BLOCK))
    found: dict[_Match, None] = {}
    width, first = packed.context + 1, 0
    for shard, index in zip(packed.description["shards"], _indexes(packed), strict=True):
        hashes, places = (np.load(index[label], mmap_mode="r") for label in ("hashes", "places"))
        begin, end = np.searchsorted(hashes, asked), np.searchsorted(hashes, asked, "right")
        for window in np.flatnonzero(begin < end):
            for place in places[begin[window] : min(end[window], begin[window] + _CANDIDATES)]:
                row = first + int(place) // width
                match = _extended(packed.rows([row])[0], row, int(place) % width, ids, int(window))
                if match.end - match.start >= BLOCK:
                    found[match] = None
        first += shard["rows"]
    return list(found)


def _extended(row: Ids, number: int, place: int, ids: Ids, start: int) -> _Match:
    """The longest agreement of a row and ``ids`` around a pair of places; empty if hashes met by chance."""
    ahead = min(len(row) - place, len(ids) - start)
    after = _agree(row[place : place + ahead], ids[start : start + ahead])
    behind = min(place, start)
    before = _agree(row[place - behind : place][::-1], ids[start - behind : start][::-1]) if after >= BLOCK else 0
    return _Match(start - before, start + after, number, place - before)


def _agree(one: Ids, other: Ids) -> int:
    """How many tokens agree from the first on."""
    differ = np.flatnonzero(one != other)
    return int(differ[0]) if len(differ) else len(one)


def _indexes(packed: TokenShards) -> list[Mapping[str, Path]]:
    """The index of every shard, made where it is missing or damaged."""
    units = [
        shards.Unit((packed.folder / shard["file"],), {"hashes": "hashes.npy", "places": "places.npy"})
        for shard in packed.description["shards"]
    ]
    return [one.outputs for one in shards.build(index, None, units, label="trace-passages", count="blocks")]


def index(params: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> dict[str, Any]:
    """Hashes of the blocks of one shard, sorted, and the place of each, counted through the shard's rows."""
    rows = np.load(inputs[0], mmap_mode="r", allow_pickle=False)
    blocks = rows.shape[1] // BLOCK
    hashes = _hashed(rows[:, : blocks * BLOCK].astype(np.int64).reshape(-1, BLOCK))
    order = np.argsort(hashes, kind="stable")
    starts = np.arange(len(rows))[:, None] * rows.shape[1] + np.arange(blocks) * BLOCK
    arrays.save(outputs["hashes"], hashes[order])
    arrays.save(outputs["places"], starts.ravel()[order])
    return {"in": len(hashes), "out": len(hashes), "dropped": {}}


def _hashed(blocks: Ids) -> Hashes:
    """A 64-bit hash of each row of (blocks, BLOCK): a polynomial with an odd base, so that order counts."""
    total = np.zeros(len(blocks), dtype=np.uint64)
    for token in blocks.T:
        total = (total ^ token.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(29)
    return total
