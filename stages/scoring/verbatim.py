"""Where tokens stand word for word in the training data: all windows of the data against some, in one pass over it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from stages.core.tokens import Ids, TokenShards

_BASE = 0x9E3779B97F4A7C15  # odd, so that no token loses its weight modulo 2^64
_BLOCK = 1 << 20  # tokens in memory at a time; with their hashes some 64 MiB


def search(packed: TokenShards, texts: Sequence[Sequence[int]], window: int) -> list[dict[int, str]]:
    """For each text, the places at which ``window`` tokens begin that are in the training data, each with a document.

    The search is exact: windows are found by hash and compared token by token. A window lies in one document and one
    row, which is all that training has seen together. Of several documents it is the first in the order of the shards.
    Memory does not grow with the data; time does: two million tokens take half a second of a core.

    Args:
        texts: Token ids; one shorter than ``window`` has no window.
    """
    asked: dict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
    for number, text in enumerate(texts):
        for start in range(len(text) - window + 1):
            asked[tuple(text[start : start + window])].append((number, start))
    found: list[dict[int, str]] = [{} for _ in texts]
    for tokens, document in _documents(packed, list(asked), window).items():
        for number, start in asked[tokens]:
            found[number][start] = document
    return [dict(sorted(places.items())) for places in found]


def _documents(packed: TokenShards, wanted: Sequence[tuple[int, ...]], window: int) -> Mapping[tuple[int, ...], str]:
    """The wanted windows that the data holds, and the first document that holds each."""
    found: dict[tuple[int, ...], str] = {}
    if not wanted or packed.context + 1 < window:
        return found
    hashes = np.unique(hashed(np.array(wanted, dtype=np.int64), window)[:, 0])
    missing = set(wanted)
    step = max(1, _BLOCK // (packed.context + 1))
    for first in range(0, len(packed), step):
        rows = packed.rows(np.arange(first, min(first + step, len(packed))))
        here = hashed(rows, window)
        for row, place in np.argwhere(hashes[np.searchsorted(hashes[:-1], here)] == here).tolist():
            tokens = tuple(rows[row, place : place + window].tolist())
            if tokens in missing:
                spans = packed.documents(first + row)
                inside = (span.id for span in spans if span.start <= place and place + window <= span.end)
                if document := next(inside, ""):
                    found[tokens] = document
                    missing.remove(tokens)
    return found


def hashed(rows: Ids, window: int) -> npt.NDArray[np.uint64]:
    """A polynomial hash of every window of each row; shape (rows, tokens - window + 1).

    The hash of two windows behind each other follows from theirs, so windows double: 6 steps for 50 tokens.
    """
    size, block = 1, rows.astype(np.uint64) + np.uint64(1)
    covered, total = 0, np.zeros_like(block)
    left = window
    while left:
        if left & 1:
            total = _joined(total, covered, block, size)
            covered += size
        left >>= 1
        if left:
            block = _joined(block, size, block, size)
            size *= 2
    return total


def _joined(
    one: npt.NDArray[np.uint64], covered: int, other: npt.NDArray[np.uint64], size: int
) -> npt.NDArray[np.uint64]:
    """Hashes of windows of ``covered`` tokens with ``size`` more behind them."""
    behind = other[:, covered:]
    return one[:, : behind.shape[1]] * np.uint64(pow(_BASE, size, 1 << 64)) + behind
