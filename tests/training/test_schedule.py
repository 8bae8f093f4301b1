"""The learning rate of every step."""

import pytest

from stages.core.params import check
from stages.training.schedule import Schedule, learning_rate


def rates(steps: int, **values: object) -> list[float]:
    usual = {"shape": "wsd", "peak": 0.1, "warmup": 4, "decay": 0.5, "final": 0.0}
    schedule = check(Schedule, {**usual, **values}, "schedule")
    return [learning_rate(schedule, step, steps) for step in range(steps)]


def test_warm_up_rises_in_equal_steps_to_the_peak() -> None:
    assert rates(20)[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])


def test_wsd_stays_at_the_peak_and_then_falls_in_equal_steps() -> None:
    found = rates(20)
    assert found[4:10] == [0.1] * 6
    assert found[10:] == pytest.approx([0.1 * left / 10 for left in range(10, 0, -1)])


def test_wsd_that_falls_all_the_time_begins_after_the_warm_up() -> None:
    found = rates(20, decay=1.0)
    assert found[4] == pytest.approx(0.1)
    assert found[5] < 0.1
    assert found[-1] == pytest.approx(0.1 / 16)


def test_linear_falls_in_equal_steps_from_the_warm_up_on_whatever_wsd_is_told() -> None:
    found = rates(24, shape="linear", decay=0.1, final=0.5)
    assert found[4:] == pytest.approx([0.1 * (0.5 + 0.5 * left / 20) for left in range(20, 0, -1)])


def test_cosine_is_half_way_down_in_the_middle() -> None:
    found = rates(24, shape="cosine", final=0.2)
    assert found[4] == pytest.approx(0.1)
    assert found[14] == pytest.approx(0.1 * (0.2 + 0.8 / 2))
    assert 0.02 < found[-1] < 0.021
    assert found[4:] == sorted(found[4:], reverse=True)


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    assert rates(10, warmup=0)[0] == 0.1


def test_a_run_that_ends_in_its_warm_up_has_rates() -> None:
    assert rates(2) == pytest.approx([0.025, 0.05])
