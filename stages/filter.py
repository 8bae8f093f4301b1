"""Keep documents that read as text in the wanted languages; replace personal data.

The rules and their order are FineWeb's: URL, language, Gopher's repetition, Gopher's quality, C4's lines, FineWeb's
lines, and last the placeholders for personal data. The first rule that a document breaks is its reason.
"""

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.core import documents as document_shards
from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.stage import Metrics, main
from stages.web import blocklist, c4, personal_data, quality, repetition
from stages.web.page import Page
from stages.web.words import Vocabulary


@params
class Params:
    languages: list[str]
    """Languages to keep, ISO 639-1; an empty list keeps all."""
    min_language_score: float
    """Certainty of the language, at least, 0–1."""
    urls: blocklist.Urls
    """Pages refused by their URL."""
    repetition: repetition.Repetition
    """Gopher's rules against repetition (arXiv:2112.11446, table A1)."""
    gopher: quality.Gopher
    """Gopher's rules of quality (arXiv:2112.11446, appendix A)."""
    c4: c4.C4
    """C4's rules for lines (arXiv:1910.10683, section 2.2)."""
    fineweb: quality.FineWeb
    """FineWeb's own rules (arXiv:2406.17557, section 3.6)."""
    personal_data: personal_data.PersonalData
    """What is replaced by a placeholder."""


def run(params: Params, *, documents: Path, kept: Path, dropped: Path) -> Metrics:
    """Judge every document of every shard.

    Args:
        documents: shards of documents from extract
        kept: shards of the documents that passed, personal data replaced
        dropped: shards of the others as they came, with the reason
    """
    lists: tuple[Path, ...] = ()
    if params.urls.blocklists:
        unit = shards.Unit(inputs=(blocklist.archive(),), outputs={"hosts": "hosts.npy"})
        (built,) = shards.build(prepare_blocklist, None, [unit], label="filter-blocklist", count="hosts")
        lists = (built.outputs["hosts"],)
    units = [
        shards.Unit(inputs=(path, *lists), outputs={"kept": path.name, "dropped": path.name})
        for path in shards.files(documents)
    ]
    results = shards.build(filter_shard, params, units, label="filter")
    shards.publish(results, "kept", kept)
    shards.publish(results, "dropped", dropped)
    metrics = shards.total(one.metrics for one in results)
    if not metrics.get("out"):
        reasons: Counter[str] = Counter(metrics.get("dropped", {}))
        taken = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
        raise HeadwaterError(
            f"no document is left of {metrics.get('in', 0):,}; dropped: {taken or 'none'}; "
            "loosen those rules in params.yaml, section filter"
        )
    return metrics


def prepare_blocklist(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Build the array of listed hosts."""
    return {"in": blocklist.prepare(inputs[0], outputs["hosts"])}


def filter_shard(params: Params, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Filter one shard; ``inputs`` are the shard and, where the lists are wanted, the array of listed hosts."""
    judge = Judge(params, inputs[1] if len(inputs) > 1 else None)
    reasons: Counter[str] = Counter()
    replaced: Counter[str] = Counter(email=0, ip=0)
    lines_removed = 0
    with (
        document_shards.Writer(outputs["kept"]) as kept,
        document_shards.Writer(outputs["dropped"], dropped=True) as dropped,
    ):
        for document in document_shards.read(inputs[0]):
            verdict = judge(document)
            if isinstance(verdict, str):
                reasons[verdict] += 1
                dropped.write(document, stage="filter", reason=verdict)
                continue
            text, found = personal_data.replace(verdict.text, params.personal_data)
            replaced += found
            lines_removed += verdict.removed
            kept.write(document, text=text)
        count = kept.count
    return {
        "in": count + reasons.total(),
        "out": count,
        "dropped": dict(reasons),
        "lines_removed": lines_removed,
        "personal_data": {kind: replaced[kind] for kind in ("email", "ip")},
    }


class Judge:
    """Applies the rules in their order."""

    def __init__(self, params: Params, listed: Path | None) -> None:
        self._params = params
        self._urls = blocklist.Blocklist(params.urls, listed)
        self._vocabulary = _vocabulary(tuple(params.gopher.stop_words))

    def __call__(self, document: Mapping[str, Any]) -> c4.Lines | str:
        """The lines of the document that stay, or the reason to drop it."""
        return self._origin(document) or self._text(document["text"])

    def _origin(self, document: Mapping[str, Any]) -> str | None:
        reason = self._urls.reason(document["url"])
        if reason:
            return reason
        if self._params.languages and document["language"] not in self._params.languages:
            return "language"
        return "language_score" if document["language_score"] < self._params.min_language_score else None

    def _text(self, text: str) -> c4.Lines | str:
        if not text.strip():
            return "empty"
        page = Page(text, self._vocabulary)
        reason = _first(repetition.RULES, page, self._params.repetition) or _first(
            quality.GOPHER, page, self._params.gopher
        )
        if reason:
            return reason
        lines = c4.clean(text, self._params.c4)
        if isinstance(lines, str) or not lines.seen:
            return lines if isinstance(lines, str) else "empty"
        return _first(quality.FINEWEB, Page(lines.seen, self._vocabulary), self._params.fineweb) or lines


@functools.lru_cache(1)
def _vocabulary(stop_words: tuple[str, ...]) -> Vocabulary:
    """That of this process: what one shard taught it about words serves the next."""
    return Vocabulary(stop_words)


def _first(rules: Sequence[Callable[[Page, Any], str | None]], page: Page, limits: Any) -> str | None:
    return next(filter(None, (rule(page, limits) for rule in rules)), None)


if __name__ == "__main__":
    main(run)
