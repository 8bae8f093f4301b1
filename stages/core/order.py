"""The order of training data: which rows make up a step, as a pure function of (seed, step).

Nothing is remembered between steps, so a run continues at any step in O(1), and the global batch of a step is the same
on any number of ranks.
"""

import hashlib

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

# Four rounds make a Feistel network a pseudorandom permutation (Luby and Rackoff 1988); two more because the round
# function is a mixer and no cipher.
_ROUNDS = 6

_HELD_OUT = -1
"""The epoch whose order chooses the rows that are held out."""


class Permutation:
    """A pseudorandom permutation of 0 … size - 1 with random access, in constant memory.

    A balanced Feistel network over the smallest square domain that holds ``size``; an image outside the range is
    permuted again until it is inside ("cycle walking": Black and Rogaway, Ciphers with Arbitrary Finite Domains,
    CT-RSA 2002, section 3). The domain is less than four times the range, so that takes under four passes on average.
    """

    def __init__(self, size: int, seed: int, epoch: int) -> None:
        self.size = size
        self._half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
        self._mask = (np.uint64(1) << self._half) - np.uint64(1)
        digest = hashlib.blake2b(f"{seed}/{epoch}".encode(), digest_size=8 * _ROUNDS).digest()
        self._keys = np.frombuffer(digest, dtype="<u8")

    def __call__(self, positions: Integers) -> Integers:
        """The rows at those positions of the epoch, any shape."""
        images = self._pass(positions.astype(np.uint64))
        while (outside := images >= self.size).any():
            images[outside] = self._pass(images[outside])
        return images.astype(np.int64)

    def positions(self, rows: Integers) -> Integers:
        """The positions of the epoch at which those rows stand, any shape: the inverse of a call."""
        images = self._back(rows.astype(np.uint64))
        while (outside := images >= self.size).any():
            images[outside] = self._back(images[outside])
        return images.astype(np.int64)

    def _pass(self, values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        left, right = values >> self._half, values & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mixed(right ^ key) & self._mask)
        return (left << self._half) | right

    def _back(self, values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        left, right = values >> self._half, values & self._mask
        for key in self._keys[::-1]:
            left, right = right ^ (_mixed(left ^ key) & self._mask), left
        return (left << self._half) | right


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): every input bit reaches every output bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class Order:
    """When a run trains on which rows of its data, and which it holds out.

    Args:
        rows: Of the data.
        held_out: Rows that are never trained on.
        seed: Of the order, and of the draw of those that are held out.
    """

    def __init__(self, rows: int, held_out: int, seed: int) -> None:
        self.trained, self.held_out, self.seed = rows - held_out, held_out, seed
        self._split = Permutation(rows, seed, _HELD_OUT) if held_out else None

    def batch(self, step: int, size: int) -> Integers:
        """The rows of the global batch of ``step``: shape (size,)."""
        chosen = batch(step, size=size, rows=self.trained, seed=self.seed)
        return chosen if self._split is None else self._split(chosen + self.held_out)

    def held_out_rows(self) -> Integers:
        """The rows that are held out: shape (held_out,)."""
        places = np.arange(self.held_out, dtype=np.int64)
        return places if self._split is None else self._split(places)

    def positions(self, row: int, end: int) -> list[int]:
        """Where in the run, before position ``end``, a row is trained on; its step is position // batch."""
        place = np.asarray([row], dtype=np.int64)
        if self._split is not None:
            place = self._split.positions(place) - self.held_out
            if place[0] < 0:
                return []
        epochs = range(-(-end // self.trained))
        found = [
            epoch * self.trained + int(Permutation(self.trained, self.seed, epoch).positions(place)[0])
            for epoch in epochs
        ]
        return [position for position in found if position < end]


def batch(step: int, *, size: int, rows: int, seed: int) -> Integers:
    """The rows of the global batch of ``step``, counted from 0: shape (size,).

    Each epoch goes through all ``rows`` in an order of its own; a batch may end one epoch and begin the next.
    """
    return stream(np.arange(step * size, (step + 1) * size, dtype=np.int64), rows=rows, seed=seed)


def stream(positions: Integers, *, rows: int, seed: int) -> Integers:
    """The rows at those positions of one epoch after the other, shape (positions,)."""
    epochs = positions // rows
    chosen = np.empty(len(positions), dtype=np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        chosen[here] = Permutation(rows, seed, int(epoch))(positions[here] % rows)
    return chosen


def share(indices: Integers, rank: int, ranks: int) -> Integers:
    """The contiguous slice of a global batch that ``rank`` trains on; ``ranks`` divides the batch."""
    each = len(indices) // ranks
    return indices[rank * each : (rank + 1) * each]


def mixed(*numbers: int) -> int:
    """One 63-bit seed from several numbers, such as (seed, step, rank)."""
    digest = hashlib.blake2b("/".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
