"""The order of data: every row once an epoch, the same on any number of ranks, from nothing but (seed, step)."""

import numpy as np
import pytest

from stages.core import order


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 255, 256, 257, 1000, 4097])
def test_an_epoch_holds_every_row_once(size: int) -> None:
    rows = order.Permutation(size, seed=3, epoch=0)(np.arange(size))
    assert sorted(rows.tolist()) == list(range(size))


def test_any_position_is_found_without_the_others() -> None:
    permutation = order.Permutation(10_000, seed=3, epoch=2)
    everything = permutation(np.arange(10_000))
    some = np.array([9_999, 0, 4_321])
    assert permutation(some).tolist() == everything[some].tolist()


@pytest.mark.parametrize("size", [1, 2, 5, 17, 256, 4097])
def test_every_row_is_found_at_its_position(size: int) -> None:
    permutation = order.Permutation(size, seed=3, epoch=1)
    assert permutation.positions(permutation(np.arange(size))).tolist() == list(range(size))


@pytest.mark.parametrize("held_out", [0, 3])
def test_a_row_is_told_every_position_at_which_it_was_trained_on(held_out: int) -> None:
    run = order.Order(20, held_out, seed=5)
    steps, size = 11, 4
    trained = np.concatenate([run.batch(step, size) for step in range(steps)])
    for row in range(20):
        assert run.positions(row, end=steps * size) == np.flatnonzero(trained == row).tolist()
    assert not set(run.held_out_rows().tolist()) & set(trained.tolist())


def test_rows_come_from_everywhere_at_any_time() -> None:
    positions = np.arange(10_000)
    rows = order.Permutation(10_000, seed=1, epoch=0)(positions)
    assert abs(np.corrcoef(positions, rows)[0, 1]) < 0.05
    neighbours = np.abs(np.diff(rows))
    assert 3_000 < neighbours.mean() < 3_700  # two independent rows of 10,000 are 3,333 apart
    firsts = [int(order.Permutation(4, seed, 0)(np.array([0]))[0]) for seed in range(400)]
    assert min(firsts.count(row) for row in range(4)) > 60  # of 100


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(order.Permutation(50, seed, epoch)(np.arange(50))) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_batches_go_through_epochs_without_a_gap_where_they_wrap() -> None:
    rows, size = 10, 4
    seen = np.concatenate([order.batch(step, size=size, rows=rows, seed=5) for step in range(5)])
    assert sorted(seen[:rows].tolist()) == sorted(seen[rows:].tolist()) == list(range(rows))


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_the_global_batch_is_the_same_on_any_number_of_ranks(ranks: int) -> None:
    batch = order.batch(7, size=8, rows=100, seed=5)
    assert np.concatenate([order.share(batch, rank, ranks) for rank in range(ranks)]).tolist() == batch.tolist()


def test_the_order_is_the_one_that_checkpoints_were_made_with() -> None:
    expected = [188, 952, 359, 814, 305, 708]
    assert order.batch(1_000_000, size=6, rows=1000, seed=1).tolist() == expected
