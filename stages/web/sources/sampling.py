"""Samples and groups that depend on names alone: not on their order, nor on how many there are."""

import hashlib
import heapq
from collections.abc import Iterable, Iterator
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


def groups(things: Iterable[tuple[str, int, T]], size: int) -> Iterator[tuple[str, list[T]]]:
    """Things in a row in groups of about ``size``, each with a name of its own.

    Where a group ends, and what it is called, depends on the name and size of its last thing alone (but for groups that
    come to four times ``size``): one more thing changes one group, not all behind it.

    Args:
        things: Name, size and the thing itself.
        size: Mean size of a group.
    """
    group: list[T] = []
    total = 0
    last = ""
    for name, length, thing in things:
        group.append(thing)
        total += length
        last = rank(0, name)
        if int(last, 16) / 2**64 < length / size or total >= 4 * size:
            yield last, group
            group, total = [], 0
    if group:
        yield last, group
