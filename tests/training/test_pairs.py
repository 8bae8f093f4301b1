"""Pairs: where a row is cut, whose second part it gets, and what is learned of that."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from stages.core.examples import IGNORED
from stages.core.order import Integers, Order
from stages.core.params import check
from stages.training import model as models
from stages.training.data import Rows
from stages.training.pairs import PairLearner, Pairs
from stages.training.settings import Training
from tests.training.small_run import changed

BEGIN, END, PAD, MASK = 1, 2, 3, 499
ROWS, LENGTH, BATCH = 40, 24, 8


class Masked:
    """Rows of which each holds one id of its own again and again, every third masked; the first ends in padding."""

    def __init__(self) -> None:
        self.ids = np.repeat(10 + np.arange(ROWS)[:, None], LENGTH, axis=1)
        self.ids[0, -4:] = PAD
        self.ids[:, 10] = BEGIN

    def __len__(self) -> int:
        return ROWS

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        inputs, labels = self.ids[indices], np.full((len(indices), LENGTH), IGNORED)
        labels[:, ::3] = np.where(inputs[:, ::3] == PAD, IGNORED, inputs[:, ::3])
        inputs[:, ::3] = np.where(inputs[:, ::3] == PAD, PAD, MASK)
        return Rows(inputs, labels, np.where(inputs == PAD, -1, 0))

    def sources(self, indices: Integers) -> list[str]:
        return [f"row {row}" for row in indices]


def pairs(held_out: int = 0) -> Pairs:
    return Pairs(Masked(), Order(ROWS, held_out, seed=7), BATCH, begin=BEGIN, end=END, pad=PAD)


def batches(data: Pairs, count: int) -> tuple[Integers, Rows]:
    positions = np.arange(count * BATCH)
    indices = np.concatenate([data.order.batch(step, BATCH) for step in range(count)])
    return indices, data.rows(indices, positions)


def test_half_of_the_rows_end_in_another_of_their_batch() -> None:
    indices, rows = batches(pairs(), 100)
    kinds, segments = rows.values, rows.segments
    assert kinds is not None
    assert segments is not None
    assert kinds.mean() == pytest.approx(0.5, abs=0.05)
    batch = indices.reshape(-1, BATCH)
    for number, (row, kind, segment, labels) in enumerate(
        zip(rows.input_ids, kinds, segments, rows.labels, strict=True)
    ):
        assert (row[0], np.flatnonzero(row == END)[0]) == (BEGIN, segment.argmax() - 1)
        assert row[-1] in (END, PAD)
        assert LENGTH // 4 <= segment.argmax() - 1 < LENGTH - LENGTH // 4
        first, second = ({*row[segment == part]} - {BEGIN, END, PAD, MASK} for part in (0, 1))
        assert first == {10 + indices[number]}
        assert (second == first) == (kind == 0)
        assert second <= {*(10 + batch[number // BATCH])}
        assert (labels[row < 8] == IGNORED).all()


def test_what_a_row_is_paired_with_depends_on_its_position_alone() -> None:
    data = pairs()
    indices, whole = batches(data, 4)
    part = data.rows(indices[11:14], np.arange(11, 14))
    for together, alone in zip(whole, part, strict=True):
        assert together is not None
        assert alone is not None
        assert (together[11:14] == alone).all()


def test_held_out_rows_and_others_stay_apart() -> None:
    data = pairs(held_out=4)
    held = {*(10 + data.order.held_out_rows())}
    _, rows = batches(data, 60)
    assert not held & {*rows.input_ids.flatten()}
    measured = data.rows(data.order.held_out_rows(), -1 - np.arange(4))
    assert {*measured.input_ids.flatten()} - {BEGIN, END, PAD, MASK} <= held


def test_what_is_minimised_is_the_mean_over_masked_tokens_and_that_over_pairs_weighed_by_these() -> None:
    values = changed(model={"kind": "bert", "kv_heads": 2, "init_std": 0.3}, training={"precision": "fp32"})
    shape = check(models.Architecture, values["model"], "model")
    model = models.build(shape, vocab_size=MASK + 1, context=LENGTH, seed=1, pairs=True)
    learner = PairLearner(model, check(Training, values["training"], "training"))
    indices, rows = batches(pairs(), 1)
    assert 0 not in indices  # whose padding the model itself would see
    assert rows.segments is not None
    assert rows.values is not None
    with torch.no_grad():
        losses = learner(*learner.arguments(rows, torch.device("cpu")))
        said = model(input_ids=torch.from_numpy(rows.input_ids), token_type_ids=torch.from_numpy(rows.segments))
    labels = torch.from_numpy(rows.labels)
    tokens = functional.cross_entropy(said.prediction_logits.flatten(0, 1), labels.flatten(), reduction="sum")
    told = functional.cross_entropy(said.seq_relationship_logits, torch.from_numpy(rows.values), reduction="none")
    torch.testing.assert_close(losses.cross_entropy, tokens)
    torch.testing.assert_close(losses.objective, tokens + (told * (labels != IGNORED).sum(1)).sum())
