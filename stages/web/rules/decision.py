"""Decides by scores: which documents stay, and for which reason the others go."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast, get_type_hints

import pyarrow as pa

from stages.core import documents
from stages.core.errors import HeadwaterError
from stages.core.params import FILE, check, nearest
from stages.web.rules import annotation, blocklist, personal_data
from stages.web.rules.rule import AtLeast, Rule, Scores, first_broken

SECTIONS = ("min_language_score", "repetition", "gopher", "c4", "fineweb", "max_listed_words", "min_quality")
"""Parameters that may differ by language."""

RULES: tuple[Rule, ...] = (
    AtLeast("language_score", "language_score", lambda limits: limits.min_language_score),
    *annotation.TEXT_RULES,
)
"""In the order of FineWeb's recipe; those for URLs come before."""


class Limits(Protocol):
    """What documents are judged by: the parameters of the stage, which has those of ``SECTIONS`` too."""

    @property
    def languages(self) -> list[str]:
        """Languages to keep; none means all."""

    @property
    def by_language(self) -> dict[str, dict[str, Any]]:
        """Values of ``SECTIONS`` that differ, by language."""

    @property
    def urls(self) -> blocklist.Urls:
        """Pages refused by their URL."""


def for_language(limits: Limits, language: str) -> Limits:
    """``limits`` with the values that differ for ``language``.

    Raises:
        HeadwaterError: there is no such value, or it is of another type.
    """
    changes: dict[str, Any] = {}
    kinds = get_type_hints(type(limits), include_extras=True)
    for name, values in limits.by_language.get(language, {}).items():
        where = f"{FILE}: filter.by_language.{language}.{name}"
        if name not in SECTIONS:
            raise HeadwaterError(f"{where} cannot differ by language{nearest(name, SECTIONS)}")
        default = getattr(limits, name)
        if isinstance(values, dict) and not isinstance(default, float):
            values = {**dataclasses.asdict(default), **values}
        changes[name] = check(kinds[name], values, where)
    changed: Limits = dataclasses.replace(cast(Any, limits), **changes)
    return changed


def decide(limits: Limits, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> dict[str, Any]:
    """Keep or drop every document of a shard; a unit of work of the stage.

    Args:
        limits: The stage's parameters.
        inputs: The shard and its scores.
        outputs: ``kept``, with the cleaned text, and ``dropped``, with the text as it came; both with the scores.
    """
    judge = Judge(limits)
    reasons: Counter[str] = Counter()
    counts: Counter[str] = Counter(dict.fromkeys(annotation.COUNTS, 0))
    columns = score_columns(limits)
    with (
        documents.Writer(outputs["kept"], columns) as kept,
        documents.Writer(outputs["dropped"], columns, dropped=True) as dropped,
    ):
        for document, scores in zip(documents.read(inputs[0]), annotation.read(inputs[1]), strict=True):
            cleaned = scores.pop(annotation.CLEANED)
            reason = judge(document, scores)
            if reason:
                reasons[reason] += 1
                dropped.write(document, **scores, stage="filter", reason=reason)
            else:
                counts.update({name: scores[name] for name in annotation.COUNTS})
                kept.write({**document, **scores}, text=document["text"] if cleaned is None else cleaned)
        count = kept.count
    return {
        "in": count + reasons.total(),
        "out": count,
        "dropped": dict(reasons),
        "lines_removed": counts["lines_removed"],
        "personal_data": {kind: counts[f"replaced_{kind}"] for kind in personal_data.KINDS},
    }


class Judge:
    """Finds the first rule that a document breaks, in the order of FineWeb's recipe."""

    def __init__(self, limits: Limits) -> None:
        self._limits = {"": limits} | {language: for_language(limits, language) for language in limits.by_language}
        self._hosts = blocklist.Hosts(limits.urls.hosts)
        self._languages = frozenset(limits.languages)

    def __call__(self, document: Mapping[str, Any], scores: Scores) -> str | None:
        """The reason to drop ``document``, or None."""
        if self._hosts.have(document["url"]):
            return "url_host"
        limits = self._limits.get(document["language"], self._limits[""])
        reason = first_broken(blocklist.RULES, scores, limits)
        if reason:
            return reason
        if self._languages and document["language"] not in self._languages:
            return "language"
        if not document["text"].strip():
            return "empty"
        return first_broken(RULES, {**scores, "language_score": document["language_score"]}, limits)


def score_columns(limits: Limits) -> list[pa.Field]:
    """Columns of the scores and counts; the metadata of a score names its limits, ``at_least`` and ``at_most``."""
    columns = [documents.SCHEMA.field("language_score"), *annotation.SCHEMA]
    bounds: dict[str, dict[str, str]] = {field.name: {} for field in columns}
    for rule in (*blocklist.RULES, *RULES):
        limit = rule.limit(limits)
        if limit is not None:
            bounds[rule.score][rule.side] = str(limit)
    return [field.with_metadata(bounds[field.name]) for field in columns if field.name != annotation.CLEANED]
