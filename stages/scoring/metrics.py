"""ROUGE and listed words as metrics of lm-evaluation-harness, which has neither: they can be named in a task's YAML."""

import functools
from collections.abc import Callable, Sequence

from lm_eval.api.registry import register_metric

from stages.scoring import rouge, toxicity


@functools.cache
def register() -> None:
    """Make the metrics known to lm-evaluation-harness; once, for it refuses a name that it has."""
    for name in rouge.NAMES:
        _register(name, functools.partial(_rouge, name), better=True)
    _register("listed_words", _listed_words, better=False)


def _register(name: str, measure: Callable[..., float], *, better: bool) -> None:
    register_metric(metric=name, higher_is_better=better, output_type="generate_until", aggregation="mean")(measure)


def _rouge(name: str, references: Sequence[str], predictions: Sequence[str]) -> float:
    return rouge.score(name, references[0], predictions[0])


def _listed_words(references: Sequence[str], predictions: Sequence[str], language: str = "en") -> float:
    """1 for an answer with an obscene or hateful word of a list (stages/scoring/toxicity.py), 0 for one without."""
    return float(bool(toxicity.listed(predictions[0], language)))
