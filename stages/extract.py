"""Take the text out of the pages of a crawl: main content as Markdown-like text, with its language."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt

from stages.core import documents as shard
from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.params import Share, params
from stages.core.progress import log
from stages.core.stage import Metrics, main
from stages.core.takedown import host
from stages.web import archived
from stages.web.pages import language
from stages.web.records import warc


@params
class Params:
    max_bytes: PositiveInt
    """Bytes that a record, and each layer of its encoding, may have; a page with more is dropped as too_large."""
    max_nodes: PositiveInt
    """Tags that a page may have; one with more is dropped as too_many_nodes."""
    max_depth: PositiveInt
    """Elements that may lie within one another; a page with more is dropped as too_deep."""
    max_characters: PositiveInt
    """Characters of text that a page may have, which is what bounds the memory of every later stage; one with more is
    dropped as too_long."""
    min_expected_f1: Share
    """Word-level F1 that is to be expected, at least, of the text chosen from a page, 0-1; a page that promises less,
    such as one that only scripts fill, is dropped as no_main_text, with that text."""
    language_windows: PositiveInt
    """Places of a text, spread evenly, in which its language is looked at."""
    language_characters: Annotated[int, Field(ge=2)]
    """Characters looked at in each."""
    opt_outs: tuple[str, ...]
    """Directives of X-Robots-Tag and of meta elements for robots, and tdm-reservation, that keep a page out: it is
    dropped as opt_out_<directive>, without its text. An empty list heeds none."""
    max_lost: Share
    """Share of a WARC's bytes that may be unreadable, 0-1; the stage fails and names the file where more is."""


def run(params: Params, *, warcs: Path, documents: Path, dropped: Path) -> Metrics:
    """Extract every page of every WARC.

    Args:
        warcs: folder of WARC files
        documents: folder for the documents, one shard for each WARC
        dropped: folder for the pages that gave none, with the reason
    """
    found = shards.files(warcs)
    if not found:
        raise HeadwaterError(f"{warcs}: no WARC here; `dvc repro crawl` brings some in")
    names = {path: f"{path.name.split('.warc')[0]}.parquet" for path in found}
    if len(set(names.values())) < len(names):  # a.warc beside a.warc.gz
        names = {path: f"{path.name}.parquet" for path in found}
    unpacking = shards.Unit((language.model_file(),), {label: f"{label}.npy" for label in language.LABELS})
    (model,) = shards.build(language.unpack, None, [unpacking], label="extract-language", count="languages")
    files = tuple(model.outputs[label] for label in language.LABELS)
    units = [shards.Unit((path, *files), {"documents": name, "dropped": name}) for path, name in names.items()]
    built = shards.build(extract, params, units, label="extract", count="pages")
    shards.publish(built, "documents", documents)
    shards.publish(built, "dropped", dropped)
    for path, one in zip(found, built, strict=True):
        _report_loss(path, one.metrics["lost"], params.max_lost)
    metrics = shards.total(one.metrics for one in built)
    if not metrics["out"]:
        reasons: Counter[str] = Counter(metrics["dropped"])
        taken = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
        raise HeadwaterError(
            f"no page of {metrics['in']:,} gave a document; dropped: {taken or 'none'}; {dropped} holds them, "
            "and section extract of params.yaml has the limits"
        )
    return metrics


def extract(params: Params, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """The documents of one WARC, the first input; the others are the model of languages."""
    source, *files = inputs
    identify = language.Identifier(files)
    loss = warc.Loss()
    counts: dict[str, Counter[str]] = {"dropped": Counter(), "languages": Counter(), "hosts": Counter()}
    characters = 0
    with shard.Writer(outputs["documents"]) as kept, shard.Writer(outputs["dropped"], dropped=True) as refused:
        for batch in shard.batches(archived.documents(params, source, loss)):
            texts = [page["text"] for page in batch if not page["reason"]]
            told = iter(identify(texts, params.language_windows, params.language_characters))
            for page in batch:
                if page["reason"]:
                    refused.write(page, language="", language_score=0.0, stage="extract")
                    counts["dropped"][page["reason"]] += 1
                    continue
                code, score = next(told)
                kept.write(page, language=code, language_score=score)
                characters += len(page["text"])
                counts["languages"][code] += 1
                counts["hosts"][host(page["url"])] += 1
    counted = {name: dict(sorted(count.items())) for name, count in counts.items()}
    pages = {"in": kept.count + refused.count, "out": kept.count}
    return {**pages, **counted, "characters": characters, "lost": loss.counts}


def _report_loss(path: Path, lost: Mapping[str, int], max_lost: float) -> None:
    if not lost["stretches"]:
        return
    share = lost["bytes"] / lost["seen"]
    said = f"{path}: {lost['bytes']:,} bytes ({share:.1%}) could not be read, in {lost['stretches']} places"
    if share > max_lost:
        raise HeadwaterError(
            f"{said}, more than extract.max_lost = {max_lost:g} allows: mend or remove the file, or raise the limit"
        )
    log(said)


if __name__ == "__main__":
    main(run, workers=True)
