"""What fits a GPU: the largest micro-batch, and what is said where none does."""

import pytest

from stages.training.planning import fitting
from stages.training.planning.gpus import GIB, gpus
from tests.training.planning.test_memory import small


@pytest.mark.slow
def test_what_is_drawn_out_is_near_what_is_followed_and_the_largest_that_fits_is_found() -> None:
    run = small(ranks=2, layers=12)
    with fitting.followers() as followers:
        line = fitting.Line(followers, run, checkpointing=False)
        found = line.whole(1)
        assert line.peak(1) == pytest.approx(found.peak, rel=0.03)
        kept, again = fitting.fits(followers, run, found.peak)
        assert (kept.micro_batch, kept.passes, kept.fits) == (1, 2, True)
        assert again.memory.peak < kept.memory.peak
        none = fitting.fits(followers, run, GIB // 100)[0]
        assert not none.fits
        assert none.short == found.peak - GIB // 100
        said = fitting.remedies(none, run, gpus(), usable=0.9, each=2)
        assert said[-1].startswith("a GPU with more memory: a10, ")


def test_divisors() -> None:
    assert fitting.divisors(12) == [1, 2, 3, 4, 6, 12]
