"""Keep documents that read as text in the wanted languages; replace personal data and secrets.

The rules and their order are FineWeb's: URL, language, Gopher's repetition, Gopher's quality, C4's lines, FineWeb's
lines; then listed words and a classifier's score. The first rule that a document breaks is its reason. Every document
is scored first, which takes the time, and then judged, which takes none: a threshold is changed in seconds, and the
scores stay in the shards as columns.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stages.core import documents as document_shards
from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.params import Share, params
from stages.core.stage import Metrics, main
from stages.web.rules import annotation, blocklist, c4, classifier, decision, example_texts, quality, repetition


@params
class Params:
    languages: list[str]
    """Languages to keep, ISO 639-1; an empty list keeps all."""
    by_language: dict[str, dict[str, Any]]
    """Thresholds below that differ for a language; what is not named is as for all."""
    annotate: annotation.Annotate
    """What the scores depend on. After a change here every text is read again; after one of the rest none is."""
    urls: blocklist.Urls
    """Pages refused by their URL."""
    min_language_score: Share
    """Certainty of the language, at least, 0–1."""
    repetition: repetition.Repetition
    """Gopher's rules against repetition (arXiv:2112.11446, table A1)."""
    gopher: quality.Gopher
    """Gopher's rules of quality (arXiv:2112.11446, appendix A)."""
    c4: c4.C4
    """C4's rules for pages (arXiv:1910.10683, section 2.2)."""
    fineweb: quality.FineWeb
    """FineWeb's own rules (arXiv:2406.17557, section 3.6)."""
    max_listed_words: Share
    """Share of words that are listed as obscene or hateful, at most, 0–1."""
    min_quality: float
    """The classifier's score, at least; without a classifier no document has one."""


def run(params: Params, *, documents: Path, examples: Path, kept: Path, dropped: Path) -> Metrics:
    """Score and judge every document of every shard.

    Args:
        documents: shards of documents from extract
        examples: folder of texts or models for the score of quality
        kept: shards of the documents that passed, cleaned, with their scores
        dropped: shards of the others as they came, with the reason and their scores
    """
    found = document_shards.files(documents)
    files, metrics = _prepared(params, examples)
    units = [shards.Unit(inputs=(path, *files), outputs={"scores": path.name}) for path in found]
    scored = shards.build(annotation.annotate, _task(params), units, label="filter-scores")
    units = [
        shards.Unit(inputs=(path, one.outputs["scores"]), outputs={"kept": path.name, "dropped": path.name})
        for path, one in zip(found, scored, strict=True)
    ]
    results = shards.build(decision.decide, params, units, label="filter")
    shards.publish(results, "kept", kept)
    shards.publish(results, "dropped", dropped)
    metrics |= shards.total(one.metrics for one in results)
    if not metrics.get("out"):
        languages = Counter(one["language"] for path in found for one in document_shards.read(path, ["language"]))
        raise HeadwaterError(
            f"no document is left of {metrics.get('in', 0):,}; dropped: {_told(metrics.get('dropped', {}))}; "
            f"languages: {_told(languages)}; loosen those rules in params.yaml, section filter"
        )
    return metrics


def _told(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count:,}" for name, count in ordered) or "none"


def _task(params: Params) -> annotation.Task:
    """What of the parameters a score depends on: those of other languages than the wanted ones are left out."""
    asked, wanted = params.annotate, sorted(set(params.languages))
    unknown = [language for language in wanted if language not in asked.stop_words]
    if unknown:
        raise HeadwaterError(f"params.yaml: filter.annotate.stop_words has no list for {', '.join(unknown)}: add one")
    if wanted:
        stop_words = {language: asked.stop_words[language] for language in wanted}
        own = {language: words for language, words in asked.word_lists.own.items() if language in wanted}
        asked = replace(asked, stop_words=stop_words, word_lists=replace(asked.word_lists, own=own))
    return annotation.Task(tuple(wanted), params.urls.blocklists, asked)


def _prepared(params: Params, examples: Path) -> tuple[list[Path], Metrics]:
    """The files that scoring needs besides the documents, and what is to be told of them."""
    files: list[Path] = []
    metrics: Metrics = {}
    if params.urls.blocklists:
        unit = shards.Unit(inputs=(blocklist.archive(),), outputs={"hosts": "hosts.npy"})
        (built,) = shards.build(blocklist.prepare, None, [unit], label="filter-blocklist", count="hosts")
        files.append(built.outputs["hosts"])
    rules = params.annotate.classifier
    if rules.kind == "trained":
        sides = [example_texts.files(examples, names) for names in (rules.training.positive, rules.training.negative)]
        unit = shards.Unit(inputs=(*sides[0], *sides[1]), outputs={"model": "quality.npy"})
        asked = classifier.Examples(rules.training, len(sides[0]))
        (built,) = shards.build(classifier.train, asked, [unit], label="filter-classifier", count="examples")
        files.append(built.outputs["model"])
        metrics["classifier"] = {name: value for name, value in built.metrics.items() if name != "in"}
    elif rules.kind != "none":
        if not (examples / rules.model).exists() or not rules.model:
            raise HeadwaterError(
                f"{examples / rules.model}: no model here, and filter.annotate.classifier asks for one"
            )
        files.append(examples / rules.model)
    return files, metrics


if __name__ == "__main__":
    main(run, workers=True)
