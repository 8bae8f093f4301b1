"""What fits a GPU: the largest micro-batch, and what is said where none does."""

from pathlib import Path

import pytest

from stages.core import runtime
from stages.training.planning import fitting
from stages.training.planning.gpus import GIB, gpus
from tests.training.planning.test_memory import small


@pytest.mark.slow
def test_what_is_drawn_out_is_near_what_is_followed_and_the_largest_that_fits_is_found() -> None:
    run = small(ranks=2, layers=12)
    with fitting.followers("llama") as followers:
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


@pytest.mark.slow
def test_gradients_that_wait_for_the_last_pass_are_whole_and_those_of_every_pass_shared(
    profile: Path,
) -> None:
    run = small(ranks=2, layers=2)
    waiting = {}
    with fitting.followers("llama") as followers:
        for mode in ("step", "pass"):
            file = profile.parent / "profile.yaml"
            file.write_text(f"gradient_sync: {mode}\n")
            runtime.profile.cache_clear()
            memory = fitting.Line(followers, run, checkpointing=False).whole(1)
            waiting[mode] = memory.parts["gradients"] + memory.parts["whole gradients"]
            assert sum(memory.parts.values()) == memory.peak
        model = 4 * followers.size(run).parameters
    assert waiting["step"] == model
    assert model / 2 <= waiting["pass"] < model


def test_divisors() -> None:
    assert fitting.divisors(12) == [1, 2, 3, 4, 6, 12]
