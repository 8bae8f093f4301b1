from typing import Any

import numpy as np
import pytest

from stages.web.pages import block_network
from stages.web.pages.block_network import FARTHEST, MOST, ONE, SEEN, UNIT, Dense, Layer, Network, Scale, whole
from stages.web.pages.segments import Segments

Array = np.ndarray[Any, Any]


def random_network(rng: np.random.Generator, features: int = 7, channels: int = 5, gates: int = 2) -> Network:
    def dense(out: int, seen: int) -> Dense:
        return whole(rng.normal(0, 0.4, (out, seen)), rng.normal(0, 0.4, out), MOST, ONE, ONE)

    layers = tuple(
        Layer(dense(gates, channels), dense(channels, gates * channels), dense(channels, 3 * channels), reach)
        for reach in (1, 2, 4)
    )
    entry = whole(rng.normal(0, 0.4, (channels, features)), rng.normal(0, 0.4, channels), FARTHEST, SEEN, ONE)
    return Network(entry, layers, whole(rng.normal(0, 0.4, (1, channels)), np.zeros(1), MOST, ONE, UNIT))


def plainly(network: Network, seen: Array) -> list[int]:
    """The odds of one page, block by block, in Python's whole numbers."""

    def summed(dense: Dense, values: list[int]) -> list[int]:
        rows = zip(dense.weights.astype(int).tolist(), dense.bias.astype(int).tolist(), strict=True)
        sums = (sum(w * v for w, v in zip(row, values, strict=True)) + bias for row, bias in rows)
        return [round(total / 2**dense.shift) for total in sums]

    def kept(values: list[int]) -> list[int]:
        return [min(max(value, 0), MOST) for value in values]

    def added(values: list[int], others: list[int]) -> list[int]:
        return kept([value + max(other, 0) for value, other in zip(values, others, strict=True)])

    found = [kept(summed(network.entry, block)) for block in seen.T.astype(int).tolist()]
    channels = len(found[0])
    for layer in network.layers:
        let = [[min(max(gate + ONE // 2, 0), ONE) for gate in summed(layer.gates, block)] for block in found]
        means = [
            round(
                sum(gates[gate] * block[channel] for gates, block in zip(let, found, strict=True))
                / (sum(gates[gate] for gates in let) + ONE)
            )
            for gate in range(len(let[0]))
            for channel in range(channels)
        ]
        of_page = summed(layer.means, means)
        found = [added(block, of_page) for block in found]
        nothing, reach = [0] * channels, layer.reach
        beside = [nothing] * reach + found + [nothing] * reach
        found = [
            added(block, summed(layer.near, beside[at] + block + beside[at + 2 * reach]))
            for at, block in enumerate(found)
        ]
    return [summed(network.odds, block)[0] for block in found]


@pytest.mark.parametrize(("channels", "counts"), [(5, [1, 40, 3, 9]), (32, [200, 7])])
def test_a_network_computes_what_whole_numbers_give_and_a_page_the_same_among_others(
    channels: int, counts: list[int]
) -> None:
    rng = np.random.default_rng(3)
    network = random_network(rng, channels=channels)
    pages = [np.round(rng.normal(0, 40, (7, count))).clip(-FARTHEST, FARTHEST).astype(np.float32) for count in counts]
    together = network(np.concatenate(pages, axis=1), Segments(np.cumsum([0, *counts[:-1]]), sum(counts)))
    assert together.tolist() == [odds for page in pages for odds in plainly(network, page)]
    assert len(set(together.tolist())) > 20


def test_sums_stay_exact_at_the_greatest_numbers_that_can_come() -> None:
    weights = np.random.default_rng(4).normal(0, 3, (4, 200))
    dense = whole(weights, np.array([0.5, -2, 0, 100]), MOST, ONE, ONE)
    worst = np.where(dense.weights > 0, MOST, 0).T.astype(np.float32)
    sums = dense.weights @ worst + dense.bias[:, None]
    assert np.array_equal(sums, dense.weights.astype(int) @ worst.astype(int) + dense.bias.astype(int)[:, None])
    assert np.abs(sums).max() < block_network.EXACT
    assert np.allclose(dense.weights * 2.0**-dense.shift, weights, atol=0.51 * 2.0**-dense.shift)


def test_weights_that_whole_numbers_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="too large for whole numbers"):
        whole(np.full((1, 100), 1e3), np.zeros(1), MOST, ONE, ONE)


def test_magnitudes_grow_by_one_with_every_doubling_and_know_the_sign() -> None:
    found = block_network.magnitudes(np.array([[0, 1, 2, 3, 7, -7, 1023, 0.5]], np.float32))
    assert found.tolist() == [[0, 1, 1.5, 2, 3, -3, 10, 0.5]]


def test_features_are_told_as_whole_deviations_from_what_is_usual() -> None:
    scale = Scale(np.array([1, 0], np.float32), np.array([SEEN, SEEN / 2], np.float32))
    found = scale(np.array([[1, 3, 0], [0, -3, 2.0**40]], np.float32))
    assert found.tolist() == [[0, SEEN, -SEEN], [0, -SEEN, FARTHEST]]
