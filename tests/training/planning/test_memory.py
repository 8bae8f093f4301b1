"""What the planner says of memory is what a process takes in fact."""

from typing import Any

import pytest

from stages.core.errors import HeadwaterError
from stages.core.params import FILE, read
from stages.training.planning import fitting
from stages.training.planning.setup import Setup, setup
from tests.training.planning import measured


def small(ranks: int, **model: Any) -> Setup:
    """A Llama whose step takes some ten megabytes, trained with AdamW, with the other values of params.yaml."""
    values = read(FILE)
    shape = {"hidden": 128, "layers": 4, "heads": 2, "kv_heads": 2, "intermediate": 352}
    values["pretrain"]["model"] |= {**shape, **model}
    values["pretrain"]["training"] |= {"attention": "sdpa", "optimizer": "adamw"}
    values["tokenizer"]["vocab_size"], values["pack"]["context"] = 4096, 256
    return setup(values, ranks=ranks)


@pytest.mark.parametrize(
    ("ranks", "checkpointing", "passes"),
    [(1, True, 2), *(pytest.param(*case, marks=pytest.mark.slow) for case in [(1, False, 1), (2, False, 1)])],
)
def test_the_peak_of_a_step_is_within_a_tenth_of_the_measured_one(ranks: int, checkpointing: bool, passes: int) -> None:
    run = small(ranks).changed(micro_batch=4, passes=passes, checkpointing=checkpointing)
    with fitting.followers("llama") as followers:
        found = followers.follow(run, like_gpu=False).result()
    peak = measured.peak(run)
    assert found.peak == pytest.approx(peak, rel=0.1)


@pytest.mark.slow
def test_a_rank_holds_its_share_and_whole_gradients_wait_for_the_next_pass() -> None:
    with fitting.followers("llama") as followers:
        one, two = (
            followers.follow(small(ranks=8, layers=2).changed(micro_batch=1, passes=passes, checkpointing=False))
            for passes in (1, 2)
        )
        size = followers.size(small(ranks=8, layers=2))
        assert one.result().parameters * 8 == 4 * size.parameters
        assert one.result().optimizer == pytest.approx(2 * one.result().parameters, rel=0.001)
        assert two.result().parts["whole gradients"] == 4 * size.parameters
        assert one.result().parts["whole gradients"] < 4 * size.parameters


def test_heads_that_do_not_divide_are_an_error_of_one_line() -> None:
    with (
        fitting.followers("llama") as followers,
        pytest.raises(HeadwaterError, match=r"model\.heads is 5, which does not"),
    ):
        followers.size(small(1, heads=5, kv_heads=5))
