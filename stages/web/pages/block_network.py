"""How likely blocks are main text: a small network over the blocks of a page, computed in whole numbers.

It sees the features of each block, and four times in turn what it has made so far of the whole page and of neighbours
ever farther away. Of the page it takes means over those blocks that gates let through, which is attention with few
queries that are learnt (Lee et al., Set Transformer, ICML 2019) and costs as little for a block of a long page; of
neighbours dilated convolutions (van den Oord et al., WaveNet, 2016).

Weights and what lies between layers are whole numbers so small that float32 holds every sum of a layer exactly. So
however a processor's library orders a sum, the same page gets the same odds on every machine.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.web.pages.segments import Segments

Array = np.ndarray[Any, Any]

UNIT = 1 << 12
"""Odds count in 4,096ths of a unit of log odds."""

ONE = 64
"""Between layers numbers count in 64ths."""

MOST = 64 * ONE - 1
"""No number between layers is greater, nor below 0."""

SEEN = 32
"""Features count in 32nds of their deviation."""

FARTHEST = 4 * SEEN - 1
"""No feature is farther from its mean."""

EXACT = 1 << 24
"""Float32 holds every whole number up to this one."""

_ALONE = 1 << 18  # multiplications up to which OpenBLAS computes a product in the thread that asks for it


@dataclass(frozen=True)
class Scale:
    """How features are told to networks: by magnitude, and as deviations from what is usual."""

    centre: Array  # (features,) float32
    slope: Array  # (features,) float32, SEENths of the deviation to a unit

    def __call__(self, table: Array) -> Array:
        """Whole numbers of (features, blocks), float32, for as much."""
        seen = magnitudes(table)
        seen -= self.centre[:, None]
        seen *= self.slope[:, None]
        np.rint(seen, out=seen)
        return np.clip(seen, -FARTHEST, FARTHEST, out=seen)


def magnitudes(table: Array) -> Array:
    """Near the logarithm to base 2 of 1 + x, with the sign of x: linear from one power of two to the next.

    It is read off how float32 stores numbers, because logarithms differ in their last digit between processors.
    """
    found = np.abs(table)
    found += 1
    bits = found.view(np.int32)
    bits -= np.float32(1).view(np.int32)
    return np.copysign(bits.astype(np.float32) / np.float32(1 << 23), table)


@dataclass(frozen=True)
class Dense:
    """Weighted sums; :func:`whole` makes one."""

    weights: Array  # (out, in) float32, whole
    bias: Array  # (out,) float32, whole
    shift: int  # sums are so many times too large, as a power of two

    def __call__(self, seen: Array) -> Array:
        """(out, places) of (in, places), both whole."""
        sums = _product(self.weights, seen)
        sums += self.bias[:, None]
        sums *= np.float32(2.0**-self.shift)
        return np.rint(sums, out=sums)


@dataclass(frozen=True)
class Layer:
    """What the network makes of the page and of the neighbours."""

    gates: Dense  # how much of each block each mean takes
    means: Dense  # from the means, one gate's after the other's
    near: Dense  # from the block before, the block itself and the block behind
    reach: int  # blocks to those

    def __call__(self, seen: Array, pages: Segments) -> Array:
        """(channels, blocks) with what is added."""
        of_page = _bounded(self.means(self._page(seen, pages)))
        seen = _bounded(seen + np.repeat(of_page, pages.counts, axis=1))
        near = _bounded(self.near(self._around(seen, pages)))
        return _bounded(np.add(seen, near, out=near))

    def _page(self, seen: Array, pages: Segments) -> Array:
        """(gates * channels, pages) means over the blocks of each page."""
        gates = np.clip(self.gates(seen) + ONE // 2, 0, ONE).astype(np.float64)  # sums over a page are beyond float32
        let, exact = np.add.reduceat(gates, pages.starts, axis=1) + ONE, seen.astype(np.float64)
        sums = np.empty((len(let), len(seen), len(pages.starts)))
        for page, (start, end) in enumerate(zip(pages.starts.tolist(), pages.ends.tolist(), strict=True)):
            sums[:, :, page] = gates[:, start:end] @ exact[:, start:end].T
        return np.rint(sums / let[:, None]).astype(np.float32).reshape(-1, len(pages.starts))

    def _around(self, seen: Array, pages: Segments) -> Array:
        """(3 * channels, blocks): nothing is before the first block of a page or behind its last."""
        channels, reach = len(seen), self.reach
        found = np.zeros((3 * channels, seen.shape[1]), np.float32)
        inside = (pages.place[reach:] >= reach).astype(np.float32)
        np.multiply(seen[:, :-reach], inside, out=found[:channels, reach:])
        found[channels:-channels] = seen
        np.multiply(seen[:, reach:], inside, out=found[-channels:, :-reach])
        return found


@dataclass(frozen=True)
class Network:
    """One network."""

    entry: Dense  # from features
    layers: tuple[Layer, ...]
    odds: Dense

    def __call__(self, seen: Array, pages: Segments) -> Array:
        """(blocks,) log odds in UNITs, of the features (features, blocks) that :class:`Scale` gives."""
        found = _bounded(self.entry(seen))
        for layer in self.layers:
            found = layer(found, pages)
        return self.odds(found)[0].astype(np.int64)


def whole(weights: Array, bias: Array, most: int, unit_in: int, unit_out: int) -> Dense:
    """Weighted sums in whole numbers, as fine as sums stay exact.

    Args:
        weights: (out, in).
        bias: (out,).
        most: Greatest size of a number that comes in.
        unit_in: What stands for 1 in what comes in.
        unit_out: And in what goes out.
    """
    weights, bias = weights.astype(np.float64) * unit_out / unit_in, bias.astype(np.float64) * unit_out
    for shift in range(24, -1, -1):
        found, added = np.rint(weights * 2.0**shift), np.rint(bias * 2.0**shift)
        if (np.abs(found).sum(1) * most + np.abs(added)).max() < EXACT:
            return Dense(found.astype(np.float32), added.astype(np.float32), shift)
    raise ValueError(f"weights of {np.abs(weights).max():.1f} are too large for whole numbers")


def _product(weights: Array, seen: Array) -> Array:
    """(out, places), by pieces so small that OpenBLAS keeps to one thread: stages use all cores by processes."""
    width = max(_ALONE // weights.size, 1)
    cut = seen.shape[1] // width * width
    found = np.empty((len(weights), seen.shape[1]), np.float32)
    pieces = [array[:, :cut].reshape(len(array), -1, width).swapaxes(0, 1) for array in (seen, found)]
    np.matmul(weights, pieces[0], out=pieces[1])
    np.matmul(weights, seen[:, cut:], out=found[:, cut:])
    return found


def _bounded(seen: Array) -> Array:
    return np.clip(seen, 0, MOST, out=seen)  # a third of the time of np.maximum or np.minimum
