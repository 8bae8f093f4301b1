"""Scaling laws: what was put in comes out, and what does not fall has no law."""

import pytest

from flows.law import Law, fit
from stages.core.errors import HeadwaterError


@pytest.mark.parametrize(
    "law",
    [
        Law(1.69, 406.4, 0.34),  # Chinchilla's first term
        Law(0.0, 20.0, 0.1),
        Law(3.0, 5e5, 1.2),
    ],
)
def test_three_sizes_are_met_exactly_and_the_next_is_foretold(law: Law) -> None:
    sizes = [1e6, 3e6, 9e6]
    found = fit(sizes, [law.at(size) for size in sizes])
    assert [found.at(size) for size in sizes] == pytest.approx([law.at(size) for size in sizes], rel=1e-5)
    assert found.at(3e7) == pytest.approx(law.at(3e7), rel=1e-3)


def test_more_sizes_than_unknowns_are_met_by_least_squares() -> None:
    law, sizes = Law(2.0, 300.0, 0.4), [1e5, 3e5, 1e6, 3e6, 1e7]
    noise = [1.01, 0.99, 1.0, 1.01, 0.99]
    found = fit(sizes, [law.at(size) * factor for size, factor in zip(sizes, noise, strict=True)])
    assert found.at(3e7) == pytest.approx(law.at(3e7), rel=0.03)


def test_losses_that_fall_ever_faster_have_no_floor() -> None:
    found = fit([1e6, 2e6, 4e6], [4.0, 3.9, 3.0])
    assert found.floor == 0
    assert found.at(8e6) < found.at(4e6)


def test_losses_that_do_not_fall_have_no_law() -> None:
    with pytest.raises(HeadwaterError, match=r"the loss does not fall with the size \(3 at 1, 3.1 at 2, 3.2 at 4\)"):
        fit([1, 2, 4], [3.0, 3.1, 3.2])
