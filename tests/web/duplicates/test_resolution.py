"""What stays is what a walk through all documents in order of preference would keep, and nothing goes by chains."""

import itertools
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from stages.web.duplicates.buckets import Numbers
from stages.web.duplicates.minhash import Signer
from stages.web.duplicates.resolution import DROPPED, Linked, Resolution
from stages.web.duplicates.shingles import Hashes, jaccard


def overlapping(draw: random.Random, size: int, similarity: float) -> tuple[Hashes, Hashes]:
    """Two sets of ``size`` members with that Jaccard similarity, as near as whole numbers allow."""
    shared = round(2 * size * similarity / (1 + similarity))
    members = [draw.getrandbits(64) for _ in range(2 * size - shared)]
    return tuple(np.sort(np.array(part, np.uint64)) for part in (members[:size], members[size - shared :]))  # type: ignore[return-value]


def edited(draw: random.Random, count: int) -> list[Hashes]:
    """Sets that share most of their members, some more than others."""
    base = [draw.getrandbits(64) for _ in range(400)]
    return [
        np.unique(
            np.array(
                [*base[draw.randrange(60) : 400 - draw.randrange(60)], *(draw.getrandbits(64) for _ in range(20))],
                np.uint64,
            )
        )
        for _ in range(count)
    ]


def buckets(folder: Path, sets: Sequence[Hashes], order: Sequence[int]) -> list[Linked]:
    """The buckets of all bands in two parts, in ``order``."""
    signer = Signer(bands=20, rows=6, seed=0)
    found: dict[int, list[int]] = {}
    for number in order:
        for key in signer.keys(sets[number]).tolist():
            found.setdefault(key, []).append(number)
    shared = [members for _, members in sorted(found.items()) if len(members) > 1]
    parts = []
    for part, own in enumerate((shared[::2], shared[1::2])):
        paths = [folder / f"{name}{part}" for name in ("members", "starts", "cursors")]
        np.array([member for members in own for member in members], np.int64).tofile(paths[0])
        np.cumsum([0, *map(len, own)]).astype(np.int64).tofile(paths[1])
        parts.append(Linked.open(*paths))
    return parts


Decide = Callable[..., dict[int, tuple[int, float]]]


@pytest.fixture
def decide(tmp_path: Path) -> Decide:
    """Which are dropped, and for which one at what similarity."""

    def decided(
        sets: list[Hashes], order: Sequence[int], *, reach: int = 1000, memory: int = 10**9
    ) -> dict[int, tuple[int, float]]:
        def compare(ones: Numbers, others: Numbers) -> npt.NDArray[np.float64]:
            pairs = zip(ones.tolist(), others.tolist(), strict=True)
            return np.array([jaccard(sets[one], sets[other]) for one, other in pairs], np.float64)

        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        resolution = Resolution(len(sets), folder)
        linked = buckets(folder, sets, order)
        resolution.run(linked, compare, 0.8, reach, memory)
        found = np.flatnonzero(resolution.status == DROPPED).tolist()
        return {number: (int(resolution.of[number]), float(resolution.similarity[number])) for number in found}

    return decided


def walk(sets: list[Hashes], order: Sequence[int], linked: list[Linked]) -> set[int]:
    """The documents that a walk in ``order`` drops: similar to one that it kept, and in a bucket with it."""
    together: dict[int, set[int]] = {number: set() for number in order}
    for kind in linked:
        for start, end in itertools.pairwise(kind.starts.tolist()):
            for member in kind.members[start:end].tolist():
                together[member] |= set(kind.members[start:end].tolist())
    kept: set[int] = set()
    for number in order:
        if not any(jaccard(sets[number], sets[other]) >= 0.8 for other in together[number] & kept):
            kept.add(number)
    return set(order) - kept


def test_the_result_is_that_of_the_walk(decide: Decide, tmp_path: Path) -> None:
    draw = random.Random(2)
    sets = [one for _ in range(12) for one in edited(draw, 40)]
    order = random.Random(3).sample(range(len(sets)), len(sets))
    dropped = decide(sets, order)
    assert set(dropped) == walk(sets, order, buckets(tmp_path, sets, order))
    assert 300 < len(dropped) < 460
    for number, (of, similarity) in dropped.items():
        assert of not in dropped
        assert similarity == pytest.approx(jaccard(sets[number], sets[of]))
        assert similarity >= 0.8


def test_memory_does_not_matter(decide: Decide) -> None:
    sets = edited(random.Random(4), 200)
    assert decide(sets, range(200), memory=1) == decide(sets, range(200))


def test_drops_at_the_similarity_and_keeps_below_it(decide: Decide) -> None:
    draw = random.Random(1)
    for similarity, expected in ((0.85, 200), (0.75, 0)):
        sets = [one for _ in range(200) for one in overlapping(draw, 500, similarity)]
        assert 0.98 * expected <= len(decide(sets, range(400))) <= expected


def test_no_chains(decide: Decide) -> None:
    members = np.arange(1, 1301, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    a, b, c = (np.sort(members[start : start + 1000]) for start in (0, 100, 200))
    assert jaccard(a, b) > 0.8
    assert jaccard(b, c) > 0.8
    assert jaccard(a, c) < 0.8
    assert set(decide([a, b, c], [0, 1, 2])) == {1}  # C is similar to B, but B is not there any more
    assert set(decide([a, b, c], [1, 0, 2])) == {0, 2}


def test_the_work_on_a_bucket_can_be_bounded(decide: Decide) -> None:
    draw = random.Random(5)
    others = [np.array([draw.getrandbits(64)], np.uint64) for _ in range(30)]
    one, twin = overlapping(draw, 500, 0.95)
    sets = [*others, one, twin]
    assert set(decide(sets, range(32))) == {31}
    assert set(decide(sets, range(32), reach=1)) == {31}  # their buckets hold the two alone
    assert decide([one] * 4, range(4), reach=1) == dict.fromkeys((1, 2, 3), (0, 1.0))
