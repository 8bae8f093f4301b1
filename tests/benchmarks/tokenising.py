"""How fast text becomes tokens and tokens become rows, on one core, beside the libraries and the machine's own limits.

    python -m tests.benchmarks.tokenising [--documents FOLDER] [--vocab-size 4096] [--rounds 5] [--megabytes 20]

Learns both kinds of tokenizer from the documents (shards of the stage ``decontaminate`` where no folder is named),
encodes the same text in turn by each way there is, and prints medians in MB of text a second; every way is checked to
give the same ids. Then the phases of the stage ``pack``, each on its own, and how best-fit packing grows from 1,000 to
100,000 documents. It prints, and asserts no time.
"""

import argparse
import functools
import itertools
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import numpy as np
import pyarrow.parquet as pq

from stages.core import documents as document_shards
from stages.core import shards
from stages.text import byte_level, conversion, encoding, mixing, packing, rows, tokenizers, vocabulary
from stages.text.tokenizers import Tokenizer

PIECE = 16  # characters of the longest piece, as in params.yaml


Way = Callable[[], Callable[[], Any]]
"""Prepares some work, which is then timed."""


def ready(work: Callable[[], Any]) -> Way:
    """A way that has nothing to prepare."""
    return lambda: work


def seconds(ways: Mapping[str, Way], rounds: int) -> dict[str, float]:
    """Median seconds of each way, all of them in turn in every round."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, prepare in ways.items():
            work = prepare()
            start = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in taken.items()}


def encoders(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, Way]:
    """Name to a way of encoding all texts: the libraries as their users call them, and the project's."""
    fast = conversion.convert(tokenizer)
    fast.encode_special_tokens = True

    def batch() -> list[Any]:
        return [found.ids for found in fast.encode_batch_fast(list(texts), add_special_tokens=False)]

    def project() -> Callable[[], list[Any]]:
        quick = encoding.fast(tokenizer)  # a new one each time: it remembers the words it has seen
        return lambda: [quick(text) for text in texts]

    ways = {"tokenizers": ready(batch)}
    if isinstance(tokenizer, tokenizers.SentencePiece):
        processor = tokenizer.processor
        ways["sentencepiece"] = ready(lambda: processor.encode(list(texts), num_threads=1))
    return ways | {"this project": project}


def compare(name: str, tokenizer: Tokenizer, texts: Sequence[str], size: int, rounds: int) -> None:
    """Print what each way of encoding takes."""
    ways = encoders(tokenizer, texts)
    for other, work in ways.items():
        for text, ids in zip(texts, work()(), strict=True):
            if np.asarray(ids).tolist() != tokenizer.encode(text):
                raise SystemExit(f"{name}: {other} gives other ids than the tokenizer")
    taken = seconds(ways, rounds)
    print(f"\n{name}, {tokenizer.vocab_size:,} tokens")
    for other, one in taken.items():
        print(f"  {other:<28}{size / one / 1e6:>9.1f} MB/s{taken['tokenizers'] / one:>9.1f} x tokenizers")


def phases(folder: Path, tokenizer: Path, shard: Path, rounds: int) -> None:
    """Print what the phases of packing take for one shard, and what copying and writing the same tokens takes."""
    mix = mixing.Mix(weights=(), max_tokens_per_host=0, seed=1)
    hosts = mixing.Match(field="host", value="*a*", weight=1.5)
    weighted = mixing.Mix(weights=(hosts,), max_tokens_per_host=10**6, seed=1)
    ids, lengths, uses = folder / "ids.npy", folder / "lengths.parquet", folder / "uses.parquet"
    made = {name: folder / f"{name}.npy" for name in ("shard", "index", "dropped")}
    encoded = {"ids": ids, "documents": lengths}
    encoding.encode_shard(None, [shard, tokenizers.file(tokenizer)], encoded)
    mixing.uses(mix, [shard, lengths], {"a": uses})
    layout = [257, "best_fit"]
    held = np.load(ids)

    def write() -> None:
        np.save(folder / "limit.npy", held.copy())
        shards.sync(folder / "limit.npy")

    ways: dict[str, Callable[[], Any]] = {
        "read the text": lambda: sum(len(row["text"]) for row in document_shards.read(shard, ("id", "text"))),
        "encode, with reading": lambda: encoding.encode_shard(None, [shard, tokenizers.file(tokenizer)], encoded),
        "mix: no rules": lambda: mixing.uses(mix, [shard, lengths], {"a": uses}),
        "mix: a weight and a limit": lambda: mixing.uses(weighted, [shard, lengths], {"a": folder / "weighted"}),
        "pack into rows": lambda: rows.arrange(layout, [ids, lengths, uses], made),
        "copy and write, the limit": write,
    }
    size = sum(pq.read_table(lengths).column("bytes").to_pylist())
    print(f"\none shard: {pq.read_metadata(shard).num_rows:,} documents, {size / 1e6:.1f} MB, {len(held):,} tokens")
    for name, one in seconds({name: ready(work) for name, work in ways.items()}, rounds).items():
        print(f"  {name:<28}{size / one / 1e6:>9.1f} MB/s{len(held) / one / 1e6:>9.1f} million tokens/s")


def growth(lengths: Sequence[int], rounds: int) -> None:
    """Print what best-fit packing takes for more and more documents, of lengths like those of the text."""
    print("\nbest-fit packing into rows of 2,049")
    for count in (1_000, 10_000, 100_000):
        many = list(itertools.islice(itertools.cycle(lengths), count))
        work = functools.partial(packing.best_fit, many, 2049)
        taken = seconds({"pack": ready(work)}, rounds)["pack"]
        print(f"  {count:>7,} documents{taken:>9.3f} s{taken / count * 1e6:>9.2f} microseconds a document")


def main() -> None:
    """Learn, compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--documents", type=Path, default=Path("data/decontaminate/training"))
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=20, help="of text, at most")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    files = shards.files(options.documents, "*.parquet")
    if not files:
        raise SystemExit(f"{options.documents}: no documents; run `dvc repro decontaminate` or name a folder")
    every = [row["text"] for path in files for row in document_shards.read(path, ("text",))]
    sizes = itertools.accumulate(len(text.encode()) for text in every)
    texts = [text for text, total in zip(every, sizes, strict=True) if total <= options.megabytes * 1e6]
    size = sum(len(text.encode()) for text in texts)
    print(f"{len(texts):,} documents, {size / 1e6:.1f} MB of text, one core, medians of {options.rounds} rounds")

    start = time.perf_counter()
    piece = tokenizers.parse(vocabulary.learn(texts, options.vocab_size, 0.9995, PIECE))
    print(f"learning sentencepiece: {time.perf_counter() - start:.1f} s, peak {_peak():.0f} MB")
    start = time.perf_counter()
    byte = tokenizers.parse_fast(byte_level.learn(texts, options.vocab_size, PIECE).to_str().encode())
    print(f"learning byte-level BPE: {time.perf_counter() - start:.1f} s, peak {_peak():.0f} MB")
    compare("sentencepiece", piece, texts, size, options.rounds)
    compare("byte-level BPE", byte, texts, size, options.rounds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tokenizer").mkdir()
        (folder / "tokenizer" / tokenizers.MODEL).write_bytes(piece.processor.serialized_model_proto())
        phases(folder, folder / "tokenizer", max(files, key=lambda path: path.stat().st_size), options.rounds)
    quick = encoding.fast(piece)
    growth([len(np.asarray(quick(text))) + 2 for text in texts], options.rounds)


def _peak() -> float:
    """Peak memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
