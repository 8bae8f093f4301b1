"""What a rule is: a score of a document, the limit it is held to, and the reason that is given where it breaks it.

Scores are made once, by functions of whole texts (see :mod:`stages.web.rules.annotation`); rules only compare numbers,
so another limit costs nothing but a comparison.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

Scores = Mapping[str, float | None]
"""Scores of a document by name; None where one was not made: of other languages, or without a model."""


@dataclass(frozen=True)
class Rule:
    """One row of the tables of rules."""

    reason: str
    """Why a document that breaks the rule is dropped."""
    score: str
    """The score that is judged; a column of the annotated documents."""
    limit: Callable[[Any], float | None]
    """The limit, out of the stage's parameters; None turns the rule off."""
    side: ClassVar[str]

    def breaks(self, score: float, limit: float) -> bool:
        """Whether ``score`` is beyond ``limit``."""
        raise NotImplementedError


class AtMost(Rule):
    """The score may not be above the limit."""

    side = "at_most"

    def breaks(self, score: float, limit: float) -> bool:
        """Whether ``score`` is too high."""
        return score > limit


class AtLeast(Rule):
    """The score may not be below the limit."""

    side = "at_least"

    def breaks(self, score: float, limit: float) -> bool:
        """Whether ``score`` is too low."""
        return score < limit


def first_broken(rules: Iterable[Rule], scores: Scores, limits: Any) -> str | None:
    """The reason of the first of ``rules`` that a document with ``scores`` breaks, or None."""
    for rule in rules:
        score, limit = scores[rule.score], rule.limit(limits)
        if score is not None and limit is not None and rule.breaks(score, limit):
            return rule.reason
    return None
