"""Time and money of a run, against what others have published."""

from typing import Any

import pytest

from stages.training.planning import budget
from stages.training.planning.gpus import gpu

LLAMA_8B = {"parameters": 8_030_261_248, "matrices": 6_979_321_856, "flops_per_token": 58_000_000_000}
"""At a context of 8,192: 6 for each weight but those of the embedding, and 12 · 32 · 4,096 · 8,192 for attention."""


def pace(count: int = 8, **changes: Any) -> budget.Pace:
    given: dict[str, Any] = {"precision": "bf16", "mfu": budget.MFU, "passes": 1, "sums": 1, "recomputed": False}
    return budget.pace(gpu("h100"), count=count, **(LLAMA_8B | given | changes))


def test_the_default_speed_is_what_torchtitan_measured() -> None:
    assert pace().tokens_per_second / 8 == pytest.approx(5762, rel=0.03)


def test_computing_activations_again_costs_a_quarter_of_the_speed() -> None:
    assert pace(recomputed=True).tokens_per_second == pytest.approx(0.75 * pace().tokens_per_second)


def test_more_gpus_take_fewer_days_for_the_same_money() -> None:
    few, many = (
        budget.bill(10**12, pace=pace(count), flops_per_token=LLAMA_8B["flops_per_token"], count=count, price=2.0)
        for count in (8, 64)
    )
    assert many.days == pytest.approx(few.days / 8)
    assert many.usd == pytest.approx(few.usd)
    assert few.gpu_hours == pytest.approx(few.days * 24 * 8)


def test_without_a_price_there_is_no_cost() -> None:
    assert budget.bill(10**9, pace=pace(), flops_per_token=1, count=8, price=None).usd is None


def test_every_pass_sends_the_weights_again_and_every_sum_the_gradients() -> None:
    assert pace(passes=4, sums=4).exchange == pytest.approx(4 * pace().exchange)
    assert pace(passes=4).exchange - pace(passes=3).exchange == pytest.approx(pace(sums=0).exchange)
    assert pace(count=1).exchange == 0


def test_in_bf16_layers_are_sent_twice_in_two_bytes_a_number_and_the_rest_once_in_four() -> None:
    matrices, rest = LLAMA_8B["matrices"], LLAMA_8B["parameters"] - LLAMA_8B["matrices"]
    link = gpu("h100").link_gb_s * 1e9 / 2 * 8 / 7
    assert pace(sums=0).exchange * link == pytest.approx(4 * matrices + 4 * rest)
    assert pace(sums=0, precision="fp32").exchange * link == pytest.approx(8 * matrices + 4 * rest)
