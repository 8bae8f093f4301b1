"""What questions to a build of many documents take: ``python -m tests.benchmarks.tracing --at FOLDER``.

The build is made up: short documents of a few sentences each, written as the stages write them, with a dvc.lock and the
lists of files that DVC's cache would have. Its tokenizer is that of ``--tokenizer``. Prints, for every question, the
seconds of processor time and of the clock that a new process takes, twice: the first ``text`` builds its index.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tokenizers import Tokenizer

from stages.core import documents, tokens
from stages.core.tokens import Span

ROOT = Path(__file__).resolve().parents[2]
SHARD = 20_000  # documents
CONTEXT = 256
STEPS, BATCH = 1000, 64
WORDS = 3000

PRETRAIN = {"seed": 1, "replay": {"share": 0.0}, "training": {"batch_sequences": BATCH, "held_out": {"rows": 0}}}


def main() -> None:
    """Make the build where it is not there, and ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--at", type=Path, required=True, help="folder for the build; kept")
    parser.add_argument("--tokenizer", type=Path, default=Path("data/tokenizer"))
    options = parser.parse_args()
    if not (options.at / "dvc.lock").is_file():
        make(options.at, options.documents, options.tokenizer)
    ask(options.at, options.documents)


def make(at: Path, count: int, tokenizer: Path) -> None:
    """Extracted documents, of which four in five are kept, trained on and packed; and the log of a run."""
    data = at / "data"
    shutil.copytree(tokenizer, data / "tokenizer")
    vocabulary = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(WORDS)]
    pool = [" ".join(draw.choices(words, k=12)).capitalize() + ". " for _ in range(WORDS)]
    ids = [encoding.ids for encoding in vocabulary.encode_batch(pool, add_special_tokens=False)]
    for folder in ("extract/documents", "filter/kept", "filter/dropped", "pack", "pretrain/model"):
        (data / folder).mkdir(parents=True)
    packed = []
    for number, start in enumerate(range(0, count, SHARD)):
        rows = [_document(one, pool) for one in range(start, min(start + SHARD, count))]
        kept = [row for row in rows if row["offset"] % 5]
        name = f"{number:05}.parquet"
        _write(data / "extract/documents" / name, rows)
        _write(data / "filter/kept" / name, kept)
        reason = {"stage": "filter", "reason": "gopher_too_few_words"}
        _write(data / "filter/dropped" / name, [row | reason for row in rows if not row["offset"] % 5], dropped=True)
        packed.append({"file": f"{number:05}.npy", "rows": _pack(data / "pack", number, kept, ids)})
    size = vocabulary.get_vocab_size()
    about = {"context": CONTEXT, "vocab_size": size, "pad_id": 0, "tokens": 0, "shards": packed}
    (data / "pack" / tokens.DESCRIPTION).write_text(json.dumps(about), "utf-8")
    (data / "pretrain/model/config.json").write_text("{}", "utf-8")
    shutil.copy(tokenizer / "tokenizer.json", data / "pretrain/model")
    (data / "pretrain/log.csv").write_text("step,loss\n" + "".join(f"{n},1\n" for n in range(1, STEPS + 1)), "utf-8")
    _lock(at)


def _document(number: int, pool: Sequence[str]) -> dict[str, Any]:
    chosen = _sentences(number)
    return {
        "id": hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest(),
        "url": f"https://host{number % 5000}.example/section{number % 97}/page{number}.html",
        "date": "2026-01-01T00:00:00Z",
        "source": f"{number // SHARD:05}.warc.gz",
        "offset": number,
        "language": "en",
        "language_score": 0.99,
        "title": f"Page {number}",
        "published": "",
        "text": "".join(pool[one] for one in chosen),
    }


def _sentences(number: int) -> list[int]:
    return random.Random(number).choices(range(WORDS), k=3)


def _write(path: Path, rows: Sequence[dict[str, Any]], *, dropped: bool = False) -> None:
    with documents.Writer(path, dropped=dropped) as writer:
        for row in rows:
            writer.write(row)


def _pack(folder: Path, number: int, rows: Sequence[dict[str, Any]], ids: Sequence[Sequence[int]]) -> int:
    """One document after the other; gives the rows."""
    stream: list[int] = []
    spans = []
    for row in rows:
        start = len(stream)
        stream += [1, *(token for one in _sentences(row["offset"]) for token in ids[one]), 2]
        spans.append(Span(row["id"], start, len(stream), 0))
    stream += [0] * (-len(stream) % (CONTEXT + 1))
    array = np.array(stream, dtype=np.uint16).reshape(-1, CONTEXT + 1)
    name = f"{number:05}.npy"
    tokens.write(folder / name, folder / tokens.index_name(name), array, spans)
    return len(array)


def _lock(at: Path) -> None:
    """A dvc.lock as `dvc repro` writes it, and the lists of the folders' files."""
    made = {
        "extract": ["data/extract/documents"],
        "filter": ["data/filter/kept", "data/filter/dropped"],
        "tokenizer": ["data/tokenizer"],
        "pack": ["data/pack"],
        "pretrain": ["data/pretrain/model", "data/pretrain/log.csv"],
    }
    read = {
        "filter": ["extract"],
        "tokenizer": ["filter"],
        "pack": ["filter", "tokenizer"],
        "pretrain": ["pack", "tokenizer"],
    }
    outs = {stage: [{"path": path, "md5": _hashed(at, path)} for path in paths] for stage, paths in made.items()}
    stages = {
        stage: {
            "cmd": stage,
            "deps": [out for other in read.get(stage, []) for out in outs[other]],
            "outs": outs[stage],
            "params": {"params.yaml": {stage: PRETRAIN if stage == "pretrain" else {"max_bytes": 1 << 24}}},
        }
        for stage in made
    }
    (at / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}), "utf-8")


def _hashed(at: Path, path: str) -> str:
    def md5(content: bytes) -> str:
        return hashlib.md5(content, usedforsecurity=False).hexdigest()

    if (at / path).is_file():
        return md5((at / path).read_bytes())
    files = [{"md5": md5(file.read_bytes()), "relpath": file.name} for file in sorted((at / path).iterdir())]
    listed = json.dumps(files).encode()
    key = md5(listed) + ".dir"
    entry = at / ".dvc/cache/files/md5" / key[:2] / key[2:]
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.write_bytes(listed)
    return key


def ask(at: Path, count: int) -> None:
    """Time every question, twice."""
    page = _document(count // 2 + 1, ["" for _ in range(WORDS)])
    row = next(documents.read(at / "data/filter/kept/00000.parquet", ["text"]))
    questions: dict[str, list[str]] = {
        "url": ["url", page["url"]],
        "url that is unknown": ["url", page["url"] + "x"],
        "id": ["id", page["id"]],
        "host of many pages": ["host", "host7.example"],
        "step": ["step", "data/pretrain/model", "500"],
        "model": ["model", "data/pretrain/model"],
        "text": ["text", row["text"]],
    }
    for turn in ("first", "again"):
        for name, question in questions.items():
            processor, clock, lines = _timed(at, question)
            print(f"{turn}  {name:20} {processor:6.2f} s of processor  {clock:6.2f} s  {lines:7,} facts", flush=True)


def _timed(at: Path, question: Sequence[str]) -> tuple[float, float, int]:
    profile = at / "profile.yaml"
    settings = ["workers: 1", "processes: 1", "threads: 1", "saving: {every: 100, keep_last: 2}", "work_limit_gb: 10"]
    profile.write_text("\n".join([*settings, f"work: {at.resolve() / 'work'}"]), "utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HEADWATER_PROFILE": str(profile.resolve())}
    before, start = _processor(), time.monotonic()
    command = [sys.executable, "-m", "stages.core.trace", *question, "--json"]
    done = subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, check=False)
    if done.stderr and "no page" not in done.stderr:
        print(done.stderr.strip().splitlines()[-1])
    return _processor() - before, time.monotonic() - start, len(done.stdout.splitlines())


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
