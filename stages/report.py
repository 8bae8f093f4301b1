"""One page about the build that opens in any browser, offline: what came in, what was dropped, what was learned.

Text from the web is shown escaped and shortened, addresses as text; the page asks for nothing, and can be read without
its one script, which searches, opens and marks what is there.
"""

from pathlib import Path

from pydantic import NonNegativeInt, PositiveInt

from stages.core.params import params
from stages.core.stage import Metrics, main
from stages.release import (
    corpus,
    dropped_index,
    evaluation,
    figures,
    lineage,
    optimizer_curves,
    page,
    score_histograms,
    spread,
    training_logs,
    vocabulary_figures,
    withdrawal,
)
from stages.release import promoted as beside
from stages.scoring import comparison
from stages.web import likeness


@params
class Params:
    title: str
    """Heading of the page."""
    examples: NonNegativeInt
    """Documents shown for each reason to drop one."""
    characters: NonNegativeInt
    """Length at which the text of a document, of a sample or of a compared line is cut off."""
    search_bytes: NonNegativeInt
    """Size of the list of dropped documents that the page searches; of more it holds some of each reason."""
    search_characters: NonNegativeInt
    """Of the beginning of each text in it."""
    duplicate_groups: NonNegativeInt
    """Groups of duplicates shown: so many of the largest, and so many of those that are least alike."""
    duplicate_copies: PositiveInt
    """Copies shown of each group, the least alike."""
    compared_rows: NonNegativeInt
    """Lines shown of a copy beside what was kept."""
    bins: PositiveInt
    """Of a histogram."""
    pieces: NonNegativeInt
    """Pieces of the vocabulary shown in each list."""
    tokenized_documents: NonNegativeInt
    """Training documents on which the tokenizer is measured, beside some extracted ones of other languages."""
    counted_tokens: NonNegativeInt
    """Packed tokens looked through for tokens that are never used, at most."""
    rows: NonNegativeInt
    """Languages, hosts and dates shown, those with most bytes or the last."""
    curve_points: PositiveInt
    """Points of a curve at most."""
    max_bytes: NonNegativeInt
    """Size of the page at most: larger, and the stage fails."""


def run(
    params: Params,
    *,
    graph: Path,
    manifest: Path,
    documents: Path,
    takedown: Path,
    withdrawn: Path,
    kept: Path,
    training: Path,
    tokenizer: Path,
    tokens: Path,
    logs: tuple[Path, ...],
    spikes: tuple[Path, ...],
    optimizers: Path,
    results: Path,
    promoted: Path,
    exported: Path,
    artifacts: tuple[Path, ...],
    dropped: tuple[Path, ...],
    measured: tuple[Path, ...],
    report: Path,
) -> Metrics:
    """Gather, draw and write the page.

    Args:
        graph: the stages, dvc.yaml
        manifest: what the crawl brought in, JSON
        documents: extracted documents
        takedown: list of pages that are to be no part of the build
        withdrawn: what went for being like one of them
        kept: documents that passed the filter, with their scores
        training: training documents
        tokenizer: tokenizer folder
        tokens: packed tokens
        logs: logs of training, data/<stage>/log.csv
        spikes: steps that were not learned from, data/<stage>/spikes.json
        optimizers: what optimizers reached, as tests/benchmarks/optimizers.py measured it
        results: folder of the evaluation
        promoted: what was kept of the last promoted model
        exported: exported model
        artifacts: what else the stages wrote, of which the hashes are shown
        dropped: folders of dropped documents, data/<stage>/dropped
        measured: metrics of the stages before, in their order
        report: the page
    """
    counts = figures.read(measured)
    chain = figures.chain(counts, dropped)
    found = evaluation.read(results)
    folders = (documents, kept, training, *dropped)
    data = (manifest, *folders, withdrawn, tokenizer, tokens, *logs, *spikes, results, exported, *artifacts)
    stages = lineage.read(graph, (*data, takedown, optimizers, promoted))
    shown = corpus.Shown(params.duplicate_groups, params.duplicate_copies, params.compared_rows, params.characters)
    sample = [*corpus.draw(training, params.tokenized_documents), *corpus.draw_by_language(documents, params.rows)]
    sections = {
        "title": params.title,
        "headlines": page.headlines(counts, chain, evaluation.headline(found)),
        "stages": stages,
        "graph": lineage.draw(stages, counts),
        "measured": counts,
        "funnel": page.funnel(counts, chain),
        "reasons": page.reasons(counts, chain, corpus.examples(dropped, params.examples, params.characters)),
        "index": dropped_index.build(dropped, params.search_bytes, params.search_characters),
        "scores_of_documents": score_histograms.draw(kept, dropped, params.bins),
        "withdrawal": withdrawal.checked(takedown, withdrawn, folders, tokens, counts, likeness.left),
        "spread": spread.measure(documents, training, params.rows),
        "duplicates": corpus.duplicates(dropped, kept, shown),
        "vocabulary": vocabulary_figures.describe(
            tokenizer, sample, tokens, params.pieces, params.characters, params.counted_tokens
        ),
        "curves": {log.parent.name: training_logs.curves(log, spikes, params.curve_points) for log in logs},
        "spikes": training_logs.told(spikes, training, params.rows),
        "optimizers": optimizer_curves.compared(optimizers),
        "files": lineage.files(manifest, tokenizer, exported),
        "beside": beside.compared(promoted, results, comparison.differences),
        "every_figure": page.every_figure(counts),
        "rows": params.rows,
        **evaluation.sections(found, counts, results, params.rows, params.characters),
    }
    size = page.write(page.report(sections), report, params.max_bytes)
    available = sum(sum(counts[stage].get("dropped", {}).values()) for stage in chain[1:])
    listed = sections["index"].listed
    return {"in": available, "out": listed, "dropped": {"not_listed": available - listed}, "bytes": size}


if __name__ == "__main__":
    main(run)
