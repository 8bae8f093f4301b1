"""Similar documents become candidates as often as the bands promise, and only similar ones are dropped."""

import random

import numpy as np
import pytest

from stages.web.minhash import Signer, resolve
from stages.web.shingles import Hashes, jaccard


def overlapping(draw: random.Random, size: int, similarity: float) -> tuple[Hashes, Hashes]:
    """Two sets of ``size`` members with that Jaccard similarity, as near as whole numbers allow."""
    shared = round(2 * size * similarity / (1 + similarity))
    members = [draw.getrandbits(64) for _ in range(2 * size - shared)]
    return tuple(np.sort(np.array(part, np.uint64)) for part in (members[:size], members[size - shared :]))  # type: ignore[return-value]


@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.8, 0.9])
def test_candidates_are_found_as_often_as_the_formula_says(similarity: float) -> None:
    draw, signer = random.Random(0), Signer(bands=20, rows=6, seed=0)
    pairs = [overlapping(draw, 300, similarity) for _ in range(300)]
    found = sum(bool(np.any(signer.keys(a) == signer.keys(b))) for a, b in pairs)
    expected = 1 - (1 - similarity**6) ** 20
    spread = (expected * (1 - expected) / len(pairs)) ** 0.5
    assert abs(found / len(pairs) - expected) <= 4 * spread + 0.01


def decide(sets: list[Hashes], order: list[int], similarity: float = 0.8) -> dict[int, tuple[int, float]]:
    signer = Signer(bands=20, rows=6, seed=0)
    keys = np.stack([signer.keys(one) for one in sets])
    exact = [one.tobytes() for one in sets]
    dropped = resolve(order, exact, keys, lambda number: sets[number], similarity)
    return {number: (why.of, why.similarity) for number, why in dropped.items()}


def test_drops_at_the_similarity_and_keeps_below_it() -> None:
    draw = random.Random(1)
    for similarity, expected in ((0.85, 200), (0.75, 0)):
        sets = [one for _ in range(200) for one in overlapping(draw, 500, similarity)]
        assert len(decide(sets, list(range(400)))) >= 0.98 * expected
        assert len(decide(sets, list(range(400)))) <= expected


def test_no_chains() -> None:
    members = np.arange(1, 1301, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    a, b, c = (np.sort(members[start : start + 1000]) for start in (0, 100, 200))
    assert jaccard(a, b) > 0.8
    assert jaccard(b, c) > 0.8
    assert jaccard(a, c) < 0.8
    assert set(decide([a, b, c], [0, 1, 2])) == {1}  # C is similar to B, but B is not there any more
    assert set(decide([a, b, c], [1, 0, 2])) == {0, 2}


def test_every_dropped_document_is_similar_to_a_kept_one() -> None:
    draw = random.Random(2)
    base = [draw.getrandbits(64) for _ in range(400)]
    sets = []
    for _ in range(300):
        edited = [*base[draw.randrange(60) : 400 - draw.randrange(60)], *(draw.getrandbits(64) for _ in range(20))]
        sets.append(np.unique(np.array(edited, np.uint64)))
    dropped = decide(sets, list(range(300)))
    assert 100 < len(dropped) < 300
    for number, (of, similarity) in dropped.items():
        assert of not in dropped
        assert jaccard(sets[number], sets[of]) == similarity >= 0.8


def test_the_twin_of_a_dropped_document_goes_for_the_same_reason() -> None:
    a, b = overlapping(random.Random(3), 500, 0.9)
    assert decide([a, b, b.copy(), a.copy()], [0, 1, 2, 3]) == {
        1: (0, jaccard(a, b)),
        2: (0, jaccard(a, b)),
        3: (0, 1.0),
    }
