"""What is left of the pages that were taken down, and which models were trained on them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from stages.core import shards, takedown
from stages.core.errors import HeadwaterError
from stages.core.tokens import TokenShards, index_name
from stages.core.trace import revisions, training
from stages.core.trace.lineage import LOCK, Fact, Lineage

_TOLD = 20  # documents of a folder


def check(lineage: Lineage) -> Iterator[Fact]:
    """Whether any document, token or model of the build is of a page that the list names.

    The crawl itself needs no second look: every page of it is a document or a dropped one, as long as each stage has
    read what the one before it has written, which is looked at first.
    """
    path = next((path for stage in lineage.stages for path in stage.inputs if Path(path).name == "takedown.txt"), None)
    if path is None:
        raise HeadwaterError(f"no stage of {LOCK} has read a takedown.txt: run `dvc repro`")
    wanted = takedown.read(Path(path))
    yield from lineage.broken()
    yield from lineage.disagreements(Path(path))
    ids: set[str] = set()
    for stage, folder in lineage.documents:
        found = _named(folder, wanted)
        ids |= set(found)
        if found:
            about = {"stage": stage.name, "in": folder.as_posix(), "documents": len(found)}
            yield Fact("left", about | {"urls": sorted(found.values())[:_TOLD], "problem": "run `dvc repro`"})
    for _, folder in lineage.tokens:
        rows = _tokens(folder, ids)
        if rows:
            yield Fact("left", {"in": folder.as_posix(), "documents": len(rows), "problem": "run `dvc repro`"})
            for trainer in training.trainers(lineage, folder):
                for model in training.holders(lineage, trainer):
                    yield Fact("affected", {"model": model, "until": "it is trained again: `dvc repro`"})
    entries = {kind: len(getattr(wanted, kind)) for kind in ("urls", "hosts", "ids", "texts")}
    if any(entries.values()):
        yield from _earlier(path, hashlib.md5(Path(path).read_bytes(), usedforsecurity=False).hexdigest())
    yield Fact("takedown", {"list": path, **entries, "documents_left": len(ids)})


def _earlier(path: str, md5: str) -> Iterator[Fact]:
    """Builds that were tagged, such as those promoted, with another list: what they hold, that list says."""
    for tag in revisions.git("tag", "--list").splitlines():
        try:
            built = Lineage(revisions.shown(tag, LOCK.as_posix()))
        except HeadwaterError:  # a tag of something else
            continue
        read = {stage.inputs.get(path) for stage in built.stages} - {None}
        if md5 not in read:
            look = f"`git checkout {tag} && dvc checkout`, then this command with today's list"
            yield Fact("earlier", {"tag": tag, "because": "it was built with another list", "to_know": look})


def _named(folder: Path, wanted: takedown.Takedown) -> dict[str, str]:
    """Id to URL of the documents that the list names; a dropped one whose text was withheld counts no more."""
    found = {}
    for path in shards.files(folder):
        columns = ["id", "url", "text"] if wanted.texts else ["id", "url"]
        for batch in pq.ParquetFile(path).iter_batches(columns=columns):
            for row in batch.to_pylist():
                text = takedown.text_hash(row["text"]) if wanted.texts else ""
                if wanted.names(row["url"], row["id"]) or text in wanted.texts:
                    found[row["id"]] = row["url"]
    return found


def _tokens(folder: Path, ids: set[str]) -> set[str]:
    """Which of the documents have tokens."""
    packed = TokenShards(folder)
    held: set[str] = set()
    for shard in packed.description["shards"] if ids else []:
        table = pq.read_table(folder / index_name(shard["file"]), columns=["id"])
        held |= ids & set(table.column("id").to_pylist())
    return held
