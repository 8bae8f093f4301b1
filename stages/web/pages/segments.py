"""Runs of a longer array, such as the blocks of each of several pages: sums, maxima and places in every run at once.

A call of numpy takes a microsecond whatever it is given, and a page of ordinary size takes a thousand calls: so pages
are looked at together, each as one run of every array (tests/benchmarks/extraction.py).
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Segments:
    """Runs that follow one another and fill an array; none is empty."""

    starts: Array  # (segments,) ascending from 0
    size: int  # places in all

    @functools.cached_property
    def ends(self) -> Array:
        """(segments,) place behind each."""
        return np.append(self.starts[1:], self.size)

    @functools.cached_property
    def counts(self) -> Array:
        """(segments,) places in each."""
        return self.ends - self.starts

    @functools.cached_property
    def low(self) -> Array:
        """(places,) where the segment of each begins."""
        return self.spread(self.starts)

    @functools.cached_property
    def high(self) -> Array:
        """(places,) place behind the segment of each."""
        return self.spread(self.ends)

    @functools.cached_property
    def count(self) -> Array:
        """(places,) places in the segment of each."""
        return self.high - self.low

    @functools.cached_property
    def place(self) -> Array:
        """(places,) each one's place in its segment."""
        return np.arange(self.size) - self.low

    def spread(self, values: Array) -> Array:
        """To every place what its segment has: (segments,) to (places,)."""
        return np.repeat(values, self.counts)

    def sum(self, column: Array) -> Array:
        """(segments, …) of whole numbers."""
        return np.add.reduceat(column, self.starts, axis=0, dtype=np.int64)

    def max(self, column: Array) -> Array:
        """(segments,) largest value in each."""
        return np.maximum.reduceat(column, self.starts)

    def best(self, column: Array) -> Array:
        """(segments,) first place of the largest value in each."""
        (places,) = np.nonzero(column == self.spread(self.max(column)))
        return places[np.searchsorted(places, self.starts)]

    def order(self, column: Array) -> Array:
        """(places,) that sorts a column within each segment, equal values as they come."""
        return np.lexsort((column, self.low))

    def running(self, column: Array) -> Array:
        """(places,) sum of the segment's whole numbers up to each place, itself included."""
        total = np.cumsum(column)
        return total - self.spread(total[self.starts] - column[self.starts])


def running(column: Array) -> Array:
    """(places + 1,) sums of all whole numbers before each place: what :func:`within` takes."""
    total = np.zeros(len(column) + 1, np.int64)
    np.cumsum(column, out=total[1:])
    return total


def within(total: Array, low: Array, high: Array) -> Array:
    """Sums from each low place to below each high one, of a column whose :func:`running` sums are given."""
    return total[high] - total[low]
