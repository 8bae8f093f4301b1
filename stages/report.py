"""One page about the build that opens in any browser, offline: what came in, what was dropped, what was learned.

Text from the web is shown escaped and shortened, addresses as text; the page runs no script and asks for nothing.
"""

from pathlib import Path

from stages.core import fingerprint, shards
from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.stage import Metrics, main
from stages.release import corpus, evaluation, figures, optimizer_curves, page, training_logs, vocabulary_figures


@params
class Params:
    title: str
    """Heading of the page."""
    examples: int
    """Documents shown for each reason to drop one."""
    characters: int
    """Length at which the text of a document or of a sample is cut off."""
    duplicate_groups: int
    """Groups of duplicates shown, the largest."""
    duplicate_copies: int
    """Copies shown of each group."""
    longest_pieces: int
    """Pieces of the vocabulary shown, the longest."""
    tokenized_documents: int
    """Training documents on which bytes per token are measured."""
    rows: int
    """Languages and hosts shown, those with most bytes."""
    curve_points: int
    """Points of a curve at most."""
    max_bytes: int
    """Size of the page at most: larger, and the stage fails."""


def run(
    params: Params,
    *,
    manifest: Path,
    documents: Path,
    training: Path,
    tokenizer: Path,
    logs: tuple[Path, ...],
    optimizers: Path,
    results: Path,
    exported: Path,
    dropped: tuple[Path, ...],
    measured: tuple[Path, ...],
    report: Path,
) -> Metrics:
    """Gather, draw and write the page.

    Args:
        manifest: what the crawl brought in, JSON
        documents: extracted documents
        training: training documents
        tokenizer: tokenizer folder
        logs: logs of training, data/<stage>/log.csv
        optimizers: what optimizers reached, as tests/benchmarks/optimizers.py measured it
        results: folder of the evaluation
        exported: exported model
        dropped: folders of dropped documents, data/<stage>/dropped
        measured: metrics of the stages before, in their order
        report: the page
    """
    counts = figures.read(measured)
    chain = _chain(counts, dropped)
    examples = corpus.examples(dropped, params.examples, params.characters)
    found = evaluation.read(results)
    sample = corpus.draw(training, params.tokenized_documents)
    rendered = page.render(
        {
            "title": params.title,
            "headlines": page.headlines(counts, chain, evaluation.headline(found)),
            "stages": counts,
            "funnel": page.funnel(counts, chain),
            "reasons": page.reasons(counts, chain, examples),
            "languages": corpus.languages(documents, training),
            "duplicates": _duplicates(params, dropped, documents),
            "vocabulary": vocabulary_figures.describe(tokenizer, sample, params.longest_pieces, params.characters),
            "curves": {log.parent.name: training_logs.curves(log, params.curve_points) for log in logs},
            "optimizers": optimizer_curves.compared(optimizers),
            "comparison": evaluation.comparison(found),
            "groups": {kind: evaluation.by_group(found, kind, params.rows) for kind in ("by_language", "by_host")},
            "scores": evaluation.scores(found),
            "changes": evaluation.changes(found),
            "learned": evaluation.learned(counts.get("finetune", {}).get("test", {}), params.rows),
            "repeated": evaluation.repeated(found, params.rows, params.characters),
            "samples": evaluation.samples(results, params.characters),
            "files": _hashes(manifest, tokenizer, exported),
            "every_figure": page.every_figure(counts),
            "rows": params.rows,
        }
    )
    size = _write(rendered, report, params.max_bytes)
    available = sum(sum(counts[stage].get("dropped", {}).values()) for stage in chain[1:])
    shown = sum(map(len, examples.values()))
    return {"in": available, "out": shown, "dropped": {"not_shown": available - shown}, "bytes": size}


def _chain(counts: figures.Measured, dropped: tuple[Path, ...]) -> list[str]:
    """The stages that documents pass through: the crawl, which is measured first, and those that drop documents."""
    stages = [next(iter(counts)), *(path.parent.name for path in dropped)]
    if missing := sorted(set(stages) - set(counts)):
        raise HeadwaterError(f"--measured lacks metrics/{missing[0]}.json, whose dropped documents are to be shown")
    return stages


def _duplicates(params: Params, dropped: tuple[Path, ...], documents: Path) -> list[corpus.Duplicates]:
    """Groups of the stage that names what a document is a duplicate of; none if no stage does."""
    return [
        group
        for folder in dropped
        for group in corpus.duplicates(folder, documents, params.duplicate_groups, params.duplicate_copies)
    ]


def _hashes(*paths: Path) -> list[tuple[str, int, str]]:
    """Path, bytes and SHA-256 of every file in ``paths``, folders opened."""
    files = [
        file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()
    ]
    return [(file.as_posix(), file.stat().st_size, fingerprint.file_hash(file)) for file in files]


def _write(rendered: str, report: Path, max_bytes: int) -> int:
    content = rendered.encode()
    if len(content) > max_bytes:
        raise HeadwaterError(
            f"the page would have {len(content):,} bytes, params.yaml allows report.max_bytes {max_bytes:,}: "
            "lower report.examples or report.characters"
        )
    report.parent.mkdir(parents=True, exist_ok=True)
    partial = report.with_name(f".{report.name}.partial")
    partial.write_bytes(content)
    shards.replace(partial, report)
    return len(content)


if __name__ == "__main__":
    main(run)
