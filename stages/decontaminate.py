"""Hold out documents for evaluation; drop training documents that overlap with them or with evaluation texts."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import PositiveInt

from stages.core import documents as document_shards
from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.params import LesserShare, Share, params
from stages.core.stage import Metrics, main
from stages.web.duplicates import decontamination, evaluation_texts


@params
class Params:
    heldout_share: LesserShare
    """Share of the documents to hold out, 0–1; each is drawn by a hash of its id."""
    heldout_max_documents: PositiveInt
    """Documents held out, at most."""
    seed: int
    """Draws the documents."""
    ngram: PositiveInt
    """Words in a run that tells an overlap."""
    common_after: PositiveInt
    """Training documents beyond which a run is boilerplate and is ignored, but for those of an evaluation text most of
    whose runs are as common: that was copied as a whole."""
    max_heldout_overlap: Share
    """Share of a training document's runs that held-out documents may have, 0–1; evaluation texts may have none."""
    tested: tuple[str, ...]
    """Files in incoming/finetune whose rows are evaluation texts too: those that `finetune.rows.test` measures on."""


def run(
    params: Params, *, documents: Path, evaluation: Path, tuning: Path, training: Path, heldout: Path, dropped: Path
) -> Metrics:
    """Draw the held-out documents, collect what must stay unseen, find it in the other documents, drop those.

    Args:
        documents: shards of documents from dedup
        evaluation: folder with evaluation texts (.txt, .csv, .jsonl, .parquet and others); may be empty
        tuning: folder with rows to fine-tune on, some of which are evaluation texts
        training: shards of the documents to train on
        heldout: shards of the documents held out
        dropped: shards of the others, with what each overlaps and the words in question
    """
    paths = document_shards.files(documents)
    draw = decontamination.draw(paths, params.heldout_share, params.heldout_max_documents, params.seed)
    if not draw.count:
        raise HeadwaterError(
            f"none of {document_shards.count(paths):,} documents is held out; "
            "raise decontaminate.heldout_share in params.yaml"
        )
    holding = [shards.Unit((path,), {"heldout": path.name, "ngrams": f"{path.stem}.npy"}) for path in paths]
    held = shards.build(
        decontamination.hold_out, [draw.limit, draw.seed, params.ngram], holding, label="decontaminate-heldout"
    )
    tested = evaluation_texts.named(tuning, params.tested)
    texts = [*evaluation_texts.files(evaluation), *tested]
    index, metrics = _index(params, evaluation, texts, [one.outputs["ngrams"] for one in held])
    searching = [shards.Unit((path, index), {"matches": path.name}) for path in paths]
    found = shards.build(
        decontamination.search, [draw.limit, draw.seed, params.ngram], searching, label="decontaminate-search"
    )
    matches = tuple(one.outputs["matches"] for one in found)
    counting = shards.Unit(matches, {"common": "common.npy"})
    (common,) = shards.build(
        decontamination.count_common, params.common_after, [counting], label="decontaminate-common"
    )
    common_ngrams = common.outputs["common"]
    copying = [shards.Unit((path, common_ngrams), {"copied": "copied.npy"}) for path in texts]
    copied = shards.build(
        decontamination.find_copied, params.ngram, copying, label="decontaminate-copied", count="texts"
    )
    metrics["evaluation"] |= {"copied_texts": shards.total(one.metrics for one in copied).get("copied", 0)}
    names = [path.relative_to(tuning if path in tested else evaluation).as_posix() for path in texts]
    names.append(decontamination.HELDOUT)
    deciding = [
        shards.Unit(
            (path, index, own, common_ngrams, *(one.outputs["copied"] for one in copied)),
            {"training": path.name, "dropped": path.name},
        )
        for path, own in zip(paths, matches, strict=True)
    ]
    settings = [draw.limit, draw.seed, params.ngram, params.max_heldout_overlap, names]
    decided = shards.build(decontamination.decide, settings, deciding, label="decontaminate")
    shards.publish(decided, "training", training)
    shards.publish(held, "heldout", heldout)
    shards.publish(decided, "dropped", dropped)
    metrics |= shards.total(one.metrics for one in decided) | {"common_ngrams": common.metrics["common"]}
    if not metrics["out"]:
        raise HeadwaterError(
            f"no document is left to train on: {draw.count:,} are held out, the others overlap with them or the "
            f"texts in {evaluation}; lower decontaminate.heldout_share in params.yaml, or remove texts"
        )
    return metrics


def _index(params: Params, folder: Path, texts: Sequence[Path], heldout: Sequence[Path]) -> tuple[Path, Metrics]:
    """The index over the n-grams of the evaluation texts and the held-out documents, and how many there are."""
    units = [shards.Unit((path,), {"ngrams": "ngrams.npy"}) for path in texts]
    hashed = shards.build(
        decontamination.hash_texts, params.ngram, units, label="decontaminate-evaluation", count="texts"
    )
    unit = shards.Unit((*(one.outputs["ngrams"] for one in hashed), *heldout), {"index": "index.npy"})
    (index,) = shards.build(decontamination.merge, len(texts), [unit], label="decontaminate-index", count="n-grams")
    counts = shards.total(one.metrics for one in hashed)
    evaluation = {"files": len(texts), "texts": counts.get("in", 0), "short_texts": counts.get("short", 0)}
    return index.outputs["index"], {"evaluation": evaluation}


if __name__ == "__main__":
    main(run, workers=True)
