"""FineWeb's recipe as datatrove publishes it (examples/fineweb.py), on one process, for `data_path.py` to stand beside.

    python -m tests.benchmarks.fineweb_recipe --warcs FOLDER --out FOLDER [--fasttext FILE]

Its own readers, URL filter, trafilatura, filters, four MinHash steps and placeholders for personal data, with their
own defaults. Left out: the count of GPT-2 tokens, which changes no document and needs a download. The language filter
is datatrove's where `--fasttext` names lid.176.bin or lid.176.ftz; else this project's identifier stands in for it.
Needs the extra `benchmarks`. Prints one line of JSON: documents after each step.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
    URLFilter,
)
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.pipeline.readers import JsonlReader, WarcReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from datatrove.utils.hashing import HashConfig

from stages.web.pages import language


class English(BaseFilter):
    """Stands in for the language filter where its model is not at hand."""

    name = "language, by py3langid"

    def __init__(self, exclusion_writer: JsonlWriter) -> None:
        super().__init__(exclusion_writer)
        self._identify = language.Identifier()

    def filter(self, doc: Document) -> bool:
        """Whether the text is English, looked at in five places as the project does."""
        ((found, score),) = self._identify([doc.text], 5, 300)
        return found == "en" and score > 0.65


def languages(fasttext: Path | None, exclusion: JsonlWriter) -> BaseFilter:
    """The language filter with a model at hand, or what stands in for it."""
    if fasttext is None:
        return English(exclusion)
    found = LanguageFilter(languages="en", exclusion_writer=exclusion)
    found.model.MODEL_URL = str(fasttext.resolve())
    return found


def run(warcs: Path, out: Path, fasttext: Path | None) -> dict[str, int]:
    """Run the five jobs of the recipe one after the other; documents that each step let pass."""
    base, minhash = out / "base_processing", out / "minhash"

    def removed(step: str) -> JsonlWriter:
        return JsonlWriter(str(base / "removed" / step))

    steps = _job(
        out / "logs" / "base",
        WarcReader(str(warcs), glob_pattern="*.warc*"),
        URLFilter(exclusion_writer=removed("1_url")),
        Trafilatura(favour_precision=True),
        languages(fasttext, removed("2_non_english")),
        GopherRepetitionFilter(exclusion_writer=removed("3_gopher_rep")),
        GopherQualityFilter(exclusion_writer=removed("4_gopher_qual")),
        C4QualityFilter(filter_no_terminal_punct=False, exclusion_writer=removed("5_c4")),
        FineWebQualityFilter(exclusion_writer=removed("6_fineweb_qual")),
        JsonlWriter(str(base / "output")),
    )
    config = MinhashConfig(
        hash_config=HashConfig(hash_fc="sha1", precision=64), num_buckets=14, hashes_per_bucket=8, n_grams=5
    )
    reader = JsonlReader(str(base / "output"))
    signatures, buckets, ids = (str(minhash / name) for name in ("signatures", "buckets", "remove_ids"))
    _job(out / "logs" / "mh1", reader, MinhashDedupSignature(output_folder=signatures, config=config))
    _job(
        out / "logs" / "mh2",
        MinhashDedupBuckets(input_folder=signatures, output_folder=buckets, config=config),
        tasks=config.num_buckets,
    )
    _job(out / "logs" / "mh3", MinhashDedupCluster(input_folder=buckets, output_folder=ids, config=config))
    steps |= _job(
        out / "logs" / "mh4",
        JsonlReader(str(base / "output")),
        MinhashDedupFilter(input_folder=ids),
        PIIFormatter(),
        JsonlWriter(str(minhash / "deduped_output")),
    )
    return steps


def _job(logs: Path, *pipeline: Any, tasks: int = 1) -> dict[str, int]:
    stats = LocalPipelineExecutor(list(pipeline), tasks=tasks, workers=1, logging_dir=str(logs)).run()
    passed = {}
    for step in stats.stats:
        counts = [step.stats[name].total for name in ("forwarded", "total", "documents") if name in step.stats]
        if counts:
            passed[step.name] = int(counts[0])
    return passed


def main() -> None:
    """Run the recipe and print what passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warcs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fasttext", type=Path)
    arguments = parser.parse_args()
    print(json.dumps(run(arguments.warcs, arguments.out, arguments.fasttext)), file=sys.stdout)


if __name__ == "__main__":
    main()
