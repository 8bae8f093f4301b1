"""Similar documents become candidates as often as the bands promise."""

import random

import numpy as np
import pytest

from stages.web.duplicates.minhash import Signer
from stages.web.duplicates.shingles import Hashes


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
