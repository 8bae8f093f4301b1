"""Objectives: which tokens are hidden or moved, how often, and that nothing but seed and position decides it."""

from typing import Any

import numpy as np
import pytest

from stages.core.errors import HeadwaterError
from stages.core.examples import IGNORED
from stages.core.params import check
from stages.training.objective import FILL, Objective, Reader
from tests.training.small_run import PARAMS

BEGIN, END, PAD, FIRST, VOCABULARY = 1, 2, 3, 8, 500
PREFIX, SUFFIX, MIDDLE = range(VOCABULARY, VOCABULARY + len(FILL))


def reader(apart: bool = False, **changes: Any) -> Reader:
    objective = check(Objective, {**PARAMS["objective"], **changes}, "objective")
    ids = {"vocab_size": VOCABULARY, "first_text": FIRST, "begin": BEGIN, "end": END, "pad": PAD}
    return Reader(objective, seed=5, documents_apart=apart, **ids)


def packed(rows: int = 40, width: int = 129) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Rows of two documents each, and behind them padding, or in every second one the rest of a longer document."""
    ids = np.random.default_rng(0).integers(FIRST, VOCABULARY, (rows, width))
    ids[:, [0, 70]] = BEGIN
    ids[:, [69, 120]] = END
    ids[::2, 121:] = PAD
    return ids


def test_of_the_tokens_of_text_a_share_is_to_be_predicted_and_hidden_as_bert_hides_them() -> None:
    ids = packed(rows=400)
    inputs, labels, documents, *_ = reader(kind="masked", masked_share=0.2)(ids, np.arange(400))
    tokens = ids[:, :-1]
    chosen = labels != IGNORED
    assert (labels[chosen] == tokens[chosen]).all()
    assert (inputs[~chosen] == tokens[~chosen]).all()
    assert not chosen[tokens < FIRST].any()
    assert chosen[tokens >= FIRST].mean() == pytest.approx(0.2, abs=0.01)
    assert (inputs[chosen] == VOCABULARY).mean() == pytest.approx(0.8, abs=0.02)
    assert (inputs[chosen] == tokens[chosen]).mean() == pytest.approx(0.1, abs=0.02)
    assert inputs[inputs != tokens].min() >= FIRST
    assert documents is not None
    assert ((documents == -1) == (tokens == PAD)).all()


@pytest.mark.parametrize("changes", [{"kind": "masked"}, {"fill_in_the_middle": 0.5}])
def test_what_is_drawn_for_a_row_depends_on_its_position_alone(changes: dict[str, Any]) -> None:
    ids, positions = packed(), np.arange(40) + 1000
    whole = reader(**changes)(ids, positions)
    part = reader(**changes)(ids[7:9], positions[7:9])
    other = reader(**changes)(ids, positions + 40)
    for together, alone, later in zip(whole[:2], part[:2], other[:2], strict=True):
        assert (together[7:9] == alone).all()
        assert (together != later).any()


def test_documents_told_out_of_order_are_whole_but_for_what_the_row_cuts_off() -> None:
    ids = packed()
    inputs, *_ = reader(fill_in_the_middle=1.0)(ids, np.arange(40))
    seen = set()
    for row, told in zip(ids, inputs, strict=True):
        document = row[1:69]
        start, end = told.tolist().index(PREFIX) + 1, told.tolist().index(END)
        told = told[start:end]
        suffix, middle = (told.tolist().index(token) for token in (SUFFIX, MIDDLE))
        if suffix == 0:  # suffix, prefix and middle
            seen.add("suffix first")
            again = np.concatenate([told[middle + 1 :], told[1:middle]])
        else:
            seen.add("prefix first")
            again = np.concatenate([told[:suffix], told[middle + 1 :], told[suffix + 1 : middle]])
        assert again.tolist() == document.tolist()
    assert seen == {"suffix first", "prefix first"}


def test_some_documents_stay_as_they_are() -> None:
    inputs, *_ = reader(fill_in_the_middle=0.25)(packed(400), np.arange(400))
    assert (inputs == PREFIX).sum() / 1000 == pytest.approx(0.25, abs=0.05)


def test_documents_kept_apart_do_not_predict_each_other() -> None:
    _, labels, documents, *_ = reader(apart=True)(packed(), np.arange(40))
    assert documents is not None
    assert (documents[:, :70] == 1).all()
    assert (documents[:, 70:121] == 2).all()
    assert (documents[:, 121:] == 3).all()
    assert (labels[:, [69, 120]] == IGNORED).all()
    assert (reader()(packed(), np.arange(40)).labels[:, 69] == BEGIN).all()


def test_masked_tokens_of_the_rest_of_a_longer_document_are_told_from_that_rest_alone() -> None:
    *_, documents, _, _ = reader(apart=True, kind="masked")(packed(), np.arange(40))
    assert documents is not None
    assert (documents[:, :121] == [1] * 70 + [2] * 51).all()
    assert (documents[::2, 121:] == -1).all()
    assert (documents[1::2, 121:] == 3).all()


def test_nothing_is_filled_in_across_the_end_of_a_document() -> None:
    inputs, *_ = reader(fill_in_the_middle=1.0)(packed(), np.arange(40))
    for row in inputs[1::2]:
        for told in np.split(row, np.flatnonzero(row == END) + 1)[:2]:
            assert ((told == PREFIX).sum(), (told == SUFFIX).sum(), (told == MIDDLE).sum()) == (1, 1, 1)


def test_filling_in_belongs_to_the_causal_objective() -> None:
    with pytest.raises(HeadwaterError, match="fill_in_the_middle belongs to causal: set it to 0"):
        reader(kind="masked", fill_in_the_middle=0.5)
