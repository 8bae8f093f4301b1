"""Data: held-out rows are never trained on, and old rows come among the new ones in their share."""

import numpy as np
import pytest

from stages.core.examples import IGNORED, Example, Redraw
from stages.core.order import Integers
from stages.training.data import Fixed, Padded, Replay, Rows, Split


class Numbers:
    """Rows that hold their own number, from a first one on, and their position."""

    def __init__(self, first: int, count: int) -> None:
        self.first, self.count = first, count

    def __len__(self) -> int:
        return self.count

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        assert ((indices >= 0) & (indices < self.count)).all()
        return Rows(self.first + indices[:, None], positions[:, None])

    def sources(self, indices: Integers) -> list[str]:
        return [str(self.first + row) for row in indices]


@pytest.mark.parametrize("held_out", [0, 1, 12])
def test_rows_are_trained_on_or_held_out(held_out: int) -> None:
    split = Split(Numbers(0, 40), held_out, seed=3, steps=100)
    batches = [split.batch(step, 4) for step in range(split.rows // 4)]
    trained = {int(row) for rows, _ in batches for row in rows}
    held, places = split.held_out_rows()
    assert len(held) == len(set(held.tolist())) == held_out
    assert not trained & set(held.tolist())
    assert (places < 0).all()  # what is drawn for them is drawn for no row that is trained on
    assert np.concatenate([at for _, at in batches]).tolist() == list(range(split.rows // 4 * 4))


def test_another_seed_holds_out_other_rows() -> None:
    first, second = (Split(Numbers(0, 400), 9, seed, steps=1).held_out_rows()[0] for seed in (1, 2))
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize(("share", "old"), [(0.0, 0), (0.25, 10), (0.8, 120)])
def test_old_rows_have_their_share_and_every_row_its_place(share: float, old: int) -> None:
    data = Replay(Numbers(0, 30), Numbers(1000, 50), share, seed=1)
    assert len(data) == 30 + old
    indices = np.random.default_rng(0).permutation(len(data))
    ids, places, *_ = data.rows(indices, np.arange(len(data)) + 7)
    assert places[:, 0].tolist() == list(range(7, 7 + len(data)))
    assert ((ids[:, 0] >= 1000) == (indices >= 30)).all()
    assert ids[indices < 30, 0].tolist() == indices[indices < 30].tolist()
    _, counts = np.unique(ids[ids >= 1000], return_counts=True)
    assert set(counts.tolist()) <= {old // 50, old // 50 + 1}  # as evenly as can be
    (one,) = (data.rows(indices[5:6], np.array([12])).input_ids,)
    assert one[0, 0] == ids[5, 0]


def test_rows_say_what_they_were_made_of_once() -> None:
    ids = np.zeros((3, 2), dtype=np.int64)
    fixed = Fixed(Rows(ids, ids), [["a", "b"], ["b"], ["c"]])
    assert fixed.sources(np.array([1, 0])) == ["b", "a"]
    data = Replay(Numbers(0, 4), Numbers(100, 2), 0.5, seed=1)
    old = [str(100 + row) for row in (data.rows(np.array([5]), np.array([0])).input_ids[0] - 100)]
    assert data.sources(np.array([5, 1])) == ["1", *old]


def padded(count: int, redraw: Redraw | None = None) -> Padded:
    """Rows of 1 to 30 ids, each its own number."""
    lengths = np.random.default_rng(0).integers(1, 31, count)
    return Padded(
        [Example(f"row {row}", [row] * length, value=row / 2) for row, length in enumerate(lengths)], -1, redraw
    )


def test_rows_of_a_batch_are_alike_in_length_and_an_epoch_has_each_once() -> None:
    data, size = padded(320), 8
    split = Split(data, held_out=0, seed=1, steps=80)
    batches = [split.batch(step, size)[0] for step in range(80)]
    for epoch in (batches[:40], batches[40:]):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(320))
    widths = [np.ptp(data.lengths[rows]) for rows in batches]
    assert np.mean(widths) < 5  # 27 in batches without an order
    shares = [(data.rows(rows, rows).input_ids == -1).mean() for rows in batches]
    assert np.mean(shares) < 0.15
    firsts = [int(data.lengths[rows].mean()) for rows in batches[:10]]
    assert firsts != sorted(firsts)
    again = Split(data, held_out=0, seed=1, steps=80)
    assert again.batch(57, size)[0].tolist() == batches[57].tolist()
    assert Split(data, held_out=0, seed=2, steps=80).batch(57, size)[0].tolist() != batches[57].tolist()


def test_a_batch_within_an_epoch_holds_no_row_twice_and_the_end_of_a_run_is_whole() -> None:
    size, held_out, steps = 8, 2, 1000
    split = Split(padded(300), held_out, seed=1, steps=steps)
    batches = [split.batch(step, size)[0].tolist() for step in range(steps)]
    meetings = steps * size // split.rows  # of two epochs
    assert sum(len(set(rows)) < size for rows in batches) < meetings / 4  # dealt out together, 50 batches do
    counts = np.bincount(np.concatenate(batches))
    assert set(counts[counts > 0].tolist()) == {meetings, meetings + 1}


def test_a_run_that_goes_back_finds_batches_beyond_its_steps() -> None:
    split = Split(padded(320), held_out=0, seed=1, steps=50)
    batches = [split.batch(step, 8)[0] for step in range(120)]
    for epoch in (batches[:40], batches[40:80], batches[80:]):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(320))


def test_rows_that_are_held_out_come_in_no_batch() -> None:
    split = Split(padded(30), held_out=2, seed=1, steps=20)
    assert not {int(row) for step in range(20) for row in split.batch(step, 4)[0]} & set(
        split.held_out_rows()[0].tolist()
    )


def test_padding_has_no_label_and_rows_keep_what_is_theirs() -> None:
    rows = Padded([Example("a", [5, 6], [6, 7], 1.0), Example("b", [8], value=2.5)], 3).rows(
        np.array([1, 0]), np.arange(2)
    )
    assert rows.input_ids.tolist() == [[8, 3], [5, 6]]
    assert rows.labels.tolist() == [[IGNORED, IGNORED], [6, 7]]
    assert rows.values is not None
    assert rows.values.tolist() == [2.5, 1.0]


def test_a_part_of_rows_that_change_changes_as_the_whole_does() -> None:
    data = padded(9, lambda index, position: Example("", [index, position + 100]))
    part = data.part(np.array([7, 2]))
    assert part.rows(np.array([1, 0]), np.array([4, -1])).input_ids.tolist() == [[2, 104], [7, 99]]
    assert part.sources(np.array([0])) == ["row 7"]
    assert part.lengths.tolist() == data.lengths[[7, 2]].tolist()
