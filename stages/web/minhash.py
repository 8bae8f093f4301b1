"""MinHash with locality-sensitive hashing: which documents may be near-duplicates, and which of them is kept.

Broder 1997, "On the resemblance and containment of documents"; bands as in Leskovec et al., "Mining of massive
datasets", section 3.4. With b bands of r rows a pair of Jaccard similarity s becomes a candidate with probability
1 - (1 - s**r)**b: 20 bands of 6 rows find 99.8 % at 0.8. Every candidate is verified, so nothing is dropped by chance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.web.shingles import Hashes, jaccard

_BLOCK = 256  # shingles hashed at a time: with 120 functions 250 kB, which stay in the cache


class Signer:
    """Makes the band keys of documents.

    Args:
        bands: Keys per document.
        rows: Minima that make up a key.
        seed: Draws the hash functions.
    """

    def __init__(self, bands: int, rows: int, seed: int) -> None:
        self.bands, self.rows = bands, rows
        draw = np.random.Generator(np.random.PCG64(seed)).integers(0, 2**64, (2, bands * rows, 1), np.uint64)
        # Multiply-shift (Dietzfelbinger et al. 1997); the order of the products is that of their high bits.
        self._factors, self._offsets = draw[0] | np.uint64(1), draw[1]
        self._hashed = np.empty((bands * rows, _BLOCK), np.uint64)

    def keys(self, shingles: Hashes) -> Hashes:
        """Band keys of a set of shingles, shape ``(bands,)``."""
        minima = np.full(self.bands * self.rows, 2**64 - 1, np.uint64)
        for start in range(0, len(shingles), _BLOCK):
            block = shingles[start : start + _BLOCK]
            hashed = np.multiply(self._factors, block, out=self._hashed[:, : len(block)])
            hashed += self._offsets
            np.minimum(minima, hashed.min(axis=1), out=minima)
        keys = np.arange(self.bands, dtype=np.uint64)
        for row in minima.reshape(self.bands, self.rows).T:
            keys = (keys ^ (row >> np.uint64(32))) * _MIX
            keys ^= keys >> np.uint64(29)
        return keys


_MIX = np.uint64(0xBF58476D1CE4E5B9)


@dataclass(frozen=True)
class Duplicate:
    """Why a document is dropped."""

    of: int
    """Number of the kept document that it duplicates."""
    similarity: float
    """Jaccard similarity to that one."""
    exact: bool
    """Whether the two have the same words in the same order."""


def resolve(
    order: Sequence[int],
    exact: Sequence[bytes],
    keys: npt.NDArray[np.uint64],
    shingles: Callable[[int], Hashes],
    similarity: float,
) -> dict[int, Duplicate]:
    """Which documents are dropped, and as duplicates of which kept ones.

    Documents are taken in ``order``; one is dropped only if it is similar to one that was kept before it. So there are
    no chains: if A is similar to B and B to C but A not to C, then C stays when B is dropped for A.

    Args:
        order: All document numbers, those to be preferred first.
        exact: A digest of each document's words.
        keys: Band keys, shape ``(documents, bands)``.
        shingles: Gives the shingles of a document; called for candidates only.
        similarity: Jaccard similarity at or above which a document is dropped.
    """
    dropped: dict[int, Duplicate] = {}
    first: dict[bytes, int] = {}
    buckets: dict[int, list[int]] = {}
    shared = _shared(keys)
    for number in order:
        twin = first.setdefault(exact[number], number)
        if twin != number:
            # The twin may itself have been dropped; its reason is then this document's as well.
            dropped[number] = dropped.get(twin) or Duplicate(twin, 1.0, True)
            continue
        own = keys[number][shared[number]].tolist()
        candidates = sorted({other for key in own for other in buckets.get(key, ())})
        best = _nearest(candidates, shingles(number), shingles, similarity) if candidates else None
        if best:
            dropped[number] = best
        else:
            for key in own:
                buckets.setdefault(key, []).append(number)
    return dropped


def _shared(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which keys more than one document has; the others need no bucket."""
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return (counts > 1)[inverse.reshape(keys.shape)]


def _nearest(
    candidates: list[int], own: Hashes, shingles: Callable[[int], Hashes], similarity: float
) -> Duplicate | None:
    best: Duplicate | None = None
    for other in candidates:
        theirs = shingles(other)
        # The smaller set divided by the larger bounds the similarity from above.
        if min(len(own), len(theirs)) < similarity * max(len(own), len(theirs)):
            continue
        value = jaccard(own, theirs)
        if value >= similarity and (best is None or value > best.similarity):
            best = Duplicate(other, value, False)
    return best
