"""params.yaml: a number that can mean nothing is refused by its name, before it is taken for something else."""

import copy
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from stages.core import params
from stages.core.errors import HeadwaterError
from tests.conftest import ROOT

VALUES = params.read(ROOT / "params.yaml")

# Seeds may be any number where nothing draws from them but a hash; a given model's score of quality can be any, too.
ANY = ("seed", "min_quality")


def numbers(values: Mapping[Any, Any], *above: Any) -> Iterator[tuple[Any, ...]]:
    """Where the numbers of a section stand."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from numbers(value, *above, name)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield (*above, name)


EVERY = [place for place in numbers(VALUES) if "by_language" not in place]


def refusal(place: tuple[Any, ...], value: float) -> str:
    """What is said of params.yaml with another value at a place."""
    changed = copy.deepcopy(VALUES[place[0]])
    inner = changed
    for name in place[1:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    with pytest.raises(HeadwaterError) as refused:
        params.check(importlib.import_module(f"stages.{place[0]}").Params, changed, place[0])
    return str(refused.value)


@pytest.mark.parametrize("place", EVERY, ids=lambda place: ".".join(map(str, place)))
def test_what_is_no_number_or_less_than_nothing_is_refused(place: tuple[Any, ...]) -> None:
    assert refusal(place, float("nan")).startswith(".".join(map(str, place)))
    if place[-1] not in ANY:
        assert refusal(place, -1).startswith(".".join(map(str, place)))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("extract.min_expected_f1", 35),
        ("extract.max_lost", 10),
        ("filter.min_language_score", 85),
        ("filter.repetition.lines", 30),
        ("filter.gopher.min_alphabetic", 65),
        ("filter.fineweb.max_short_lines", 67),
        ("filter.max_listed_words", 1.01),
        ("dedup.similarity", 80),
        ("decontaminate.heldout_share", 6),
        ("decontaminate.max_heldout_overlap", 10),
        ("pretrain.training.schedule.decay", 80),
    ],
)
def test_a_share_in_percent_is_refused(place: str, value: float) -> None:
    assert refusal(tuple(place.split(".")), value).startswith(f"{place}: Input should be less than")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("extract.language_windows", 0),
        ("dedup.similarity", 0),
        ("dedup.minhash.ngram", 0),
        ("dedup.minhash.bands", 10**6),
        ("decontaminate.ngram", 0),
        ("decontaminate.common_after", 0),
        ("tokenizer.vocab_size", 10**10),
        ("pack.context", 10**10),
        ("report.bins", 0),
    ],
)
def test_a_number_that_turns_a_stage_into_another_is_refused(place: str, value: float) -> None:
    assert refusal(tuple(place.split(".")), value).startswith(f"{place}: Input should be ")
