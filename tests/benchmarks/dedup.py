"""Deduplication beside datatrove's four MinHash steps on the same documents, on one core; recall, precision, growth.

    python -m tests.benchmarks.dedup [--documents data/filter/kept] [--folder FOLDER] [--repeat 1] [--copies 2 8]

The documents are those of a build (`dvc repro filter` makes the demo's 4,162, of which two thirds are duplicates: pages
of Debian's handbooks in editions that were not translated). Every measurement runs in a process of its own that is
bound to one core; seconds are its CPU seconds, imports not counted, memory is its peak resident set. datatrove 0.10
tokenises English with spaCy's rules (spacy.blank("en")); it reads and writes the same Parquet. It hands strings to
xxhash, which xxhash 4 refuses, so they are encoded for it here.

The truth on pairs is the Jaccard similarity of the sets of word 5-grams, by strings, of all pairs of documents that
share one. Growth is measured on half of the documents, on 2 and on 8 times as many: each copy has its letters shifted
in the alphabet, so that it is as large and as repetitive as the real one but shares nothing with it.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import platform
import re
import shutil
import statistics
import string
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stages import dedup
from stages.core import documents, params, runtime, shards
from stages.web.duplicates.shingles import split

PARAMS = params.load(dedup.Params, "dedup")


def ours(source: Path, folder: Path, paragraph_characters: int) -> dict[str, int]:
    """The stage, cutting out repeated paragraphs from that length on or none; counts of what it kept and dropped."""
    (folder / "profile.yaml").write_text(f"workers: 1\nwork: {folder / 'work'}\n", "utf-8")
    os.environ["HEADWATER_PROFILE"] = str(folder / "profile.yaml")
    runtime.profile.cache_clear()
    passages = dataclasses.replace(PARAMS.passages, paragraph_characters=paragraph_characters, run_words=0)
    values = dataclasses.replace(PARAMS, passages=passages)
    metrics = dedup.run(values, documents=source, kept=folder / "kept", dropped=folder / "dropped")
    return {"in": metrics["in"], "out": metrics["out"], **metrics["dropped"]}


def datatrove(source: Path, folder: Path, buckets: int, rows: int) -> dict[str, int]:
    """datatrove's signatures, buckets, clusters and filter."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.utils.hashes import xxhash
    from xxhash import xxh64_intdigest

    xxhash.xxhash64 = lambda data: xxh64_intdigest(data.encode())
    config = MinhashConfig(n_grams=PARAMS.minhash.ngram, num_buckets=buckets, hashes_per_bucket=rows)
    tasks = len(shards.files(source))
    reader = ParquetReader(str(source))
    steps: list[tuple[list[Any], int]] = [
        ([reader, MinhashDedupSignature(str(folder / "signatures"), config=config)], tasks),
        ([MinhashDedupBuckets(str(folder / "signatures"), str(folder / "buckets"), config=config)], buckets),
        ([MinhashDedupCluster(str(folder / "buckets"), str(folder / "remove"), config=config)], 1),
        (
            [
                reader,
                MinhashDedupFilter(str(folder / "remove"), ParquetWriter(str(folder / "dropped"))),
                ParquetWriter(str(folder / "kept")),
            ],
            tasks,
        ),
    ]
    for number, (pipeline, count) in enumerate(steps):
        logs = str(folder / f"logs{number}")
        LocalPipelineExecutor(pipeline=pipeline, tasks=count, workers=1, logging_dir=logs).run()
    kept, dropped = (documents.count(sorted((folder / name).glob("*.parquet"))) for name in ("kept", "dropped"))
    return {"in": kept + dropped, "out": kept, "dropped": dropped}


def _alone(run: Callable[..., dict[str, int]], arguments: tuple[Any, ...]) -> tuple[float, int, dict[str, int]]:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    start = time.process_time()
    counts = run(*arguments)
    seconds = time.process_time() - start
    # Of this program alone: getrusage's peak is at first that of the process that it was forked from.
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    return seconds, int(peak) * 1024, counts


def measured(
    run: Callable[..., dict[str, int]], source: Path, folder: Path, *more: Any
) -> tuple[float, int, dict[str, int]]:
    """CPU seconds, peak memory in bytes and counts of ``run`` in a process of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_alone, run, (source, folder, *more)).result()


def enlarged(source: Path, target: Path, copies: float) -> Path:
    """``copies`` times the documents of ``source``; every second document where it is one half."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    lower, upper = string.ascii_lowercase, string.ascii_uppercase
    for copy in range(max(round(copies), 1)):
        shifted = str.maketrans(lower + upper, lower[copy:] + lower[:copy] + upper[copy:] + upper[:copy])
        for path in shards.files(source):
            with documents.Writer(target / f"{copy:02}-{path.name}") as writer:
                for number, row in enumerate(documents.read(path, documents.SCHEMA.names)):
                    if copies >= 1 or number % 2 == 0:
                        name = f"{copy:02x}{row['id'][2:]}"
                        writer.write(
                            row, id=name, source=f"{copy}-{row['source']}", text=row["text"].translate(shifted)
                        )
    return target


def similar_pairs(texts: dict[str, str], least: float) -> dict[tuple[str, str], float]:
    """All pairs of documents whose true Jaccard similarity is ``least`` or more, and that similarity."""
    names = sorted(texts)
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    sizes = []
    for number, name in enumerate(names):
        words = split(texts[name])
        n = min(PARAMS.minhash.ngram, len(words))
        own = {tuple(words[place : place + n]) for place in range(len(words) - n + 1)}
        sizes.append(len(own))
        for shingle in own:
            holders[shingle].append(number)
    shared: Counter[int] = Counter()
    for group, count in Counter(tuple(one) for one in holders.values() if len(one) > 1).items():
        members = np.array(group)
        for place, member in enumerate(group[:-1]):
            for pair in (member * len(names) + members[place + 1 :]).tolist():
                shared[pair] += count
    found = {}
    for pair, count in shared.items():
        one, other = divmod(pair, len(names))
        similarity = count / (sizes[one] + sizes[other] - count)
        if similarity >= least:
            found[names[one], names[other]] = similarity
    return found


def rows(folder: Path) -> dict[str, Any]:
    """Documents by id."""
    return {row["id"]: row for path in sorted(folder.glob("*.parquet")) for row in documents.read(path)}


def quality(source: Path, folder: Path, pairs: dict[tuple[str, str], float]) -> None:
    """Print recall and precision of what lies in ``folder``: ``kept``, and for our own ``dropped``."""
    kept = set(rows(folder / "kept"))
    for least in (0.8, 0.85, 0.9, 0.95):
        above = [pair for pair, similarity in pairs.items() if least <= similarity < 1]
        both = sum(one in kept and other in kept for one, other in above)
        print(
            f"  unequal pairs of {least} or more: {len(above):,}, of which both are kept {both} "
            f"(recall {1 - both / len(above):.4f})"
        )
    dropped = set(rows(source)) - kept
    alone = dropped - {one for pair in pairs for one, other in (pair, pair[::-1]) if other in kept}
    print(
        f"  dropped {len(dropped):,}, of which {len(alone):,} are not similar to one that is kept "
        f"(precision {1 - len(alone) / len(dropped):.4f})"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=Path, default=Path("data/filter/kept"))
    parser.add_argument("--folder", type=Path, help="for what is made; a new temporary folder by default")
    parser.add_argument("--repeat", type=int, default=3, help="measurements of which the median counts")
    parser.add_argument("--copies", type=float, nargs="*", default=[0.5, 2, 8], help="sizes for growth")
    arguments = parser.parse_args()
    source = arguments.documents.resolve()
    size = sum(len(row["text"].encode()) for row in rows(source).values())
    if not size:
        parser.error(f"{arguments.documents}: no documents here; `dvc repro filter` makes some")
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="headwater-"))
    print(f"{platform.platform()}, Python {platform.python_version()}; {size / 1e6:.1f} MB of text")
    likeness = (PARAMS.minhash.bands, PARAMS.minhash.rows)
    runs: list[tuple[str, Callable[..., dict[str, int]], tuple[Any, ...]]] = [
        ("headwater", ours, (0,)),
        ("with paragraphs", ours, (200,)),
        ("datatrove 14 x 8", datatrove, (14, 8)),
        (f"datatrove {likeness[0]} x {likeness[1]}", datatrove, likeness),
    ]
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(arguments.repeat):
        for name, run, more in runs:
            took, memory, counts = measured(run, source, folder / name, *more)
            seconds[name].append(took)
            print(f"{name:<20}{took:8.2f} s {memory / 1e6:8.0f} MB  {json.dumps(counts)}", flush=True)
    mine = statistics.median(seconds["headwater"])
    for name, taken in seconds.items():
        median = statistics.median(taken)
        print(f"{name:<20}{median:8.2f} s, {size / 1e6 / median:6.2f} MB/s, {median / mine:5.1f} times headwater's")
    pairs = similar_pairs({name: row["text"] for name, row in rows(source).items()}, PARAMS.similarity)
    for name in ("headwater", *(name for name, _, _ in runs[2:])):
        print(name)
        quality(source, folder / name, pairs)
    grown = []
    for copies in arguments.copies:
        larger = enlarged(source, folder / "larger", copies)
        took, memory, counts = measured(ours, larger, folder / "grown", 0)
        grown.append((counts["in"], took, memory))
        print(f"{counts['in']:>8,} documents{took:8.2f} s {memory / 1e6:8.0f} MB  {json.dumps(counts)}", flush=True)
    if len(grown) > 1:
        count, took, memory = np.log(np.array(grown)).T
        print(
            f"growth: time ~ documents^{np.polyfit(count, took, 1)[0]:.2f}, "
            f"memory ~ documents^{np.polyfit(count, memory, 1)[0]:.2f}"
        )
    if not arguments.folder:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
