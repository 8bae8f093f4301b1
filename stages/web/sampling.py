"""A seeded sample that depends on nothing but the seed and the names: not on their order, nor on how many there are."""

import hashlib
import heapq
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def rank(seed: int, name: str) -> str:
    """A number in 0 to 2**64 as 16 hex digits, even over names."""
    return hashlib.blake2b(f"{seed}\0{name}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def lowest(ranked: Iterable[tuple[str, T]], count: int) -> set[T]:
    """The ``count`` things of lowest rank, from pairs of rank and thing; all of them where ``count`` is 0.

    A sample of more is a superset of one of fewer.
    """
    if count == 0:
        return {thing for _, thing in ranked}
    return {thing for _, thing in heapq.nsmallest(count, ranked)}
