"""What is left of the pages that were taken down, and which models were trained on them."""

import hashlib
import importlib
from collections.abc import Iterator
from pathlib import Path

from stages.core import arrow, leftovers, takedown
from stages.core.errors import HeadwaterError
from stages.core.trace import revisions, training
from stages.core.trace.lineage import LOCK, Fact, Lineage

_TOLD = 20  # documents of a folder


def check(lineage: Lineage) -> Iterator[Fact]:
    """Whether any document, token or model of the build is of a page that the list names.

    The crawl itself needs no second look: every page of it is a document or a dropped one, as long as each stage has
    read what the one before it has written, which is looked at first. What is like a page is looked for by its text as
    it was extracted, and by its id in all that was made of it.
    """
    path = next((path for stage in lineage.stages for path in stage.inputs if Path(path).name == "takedown.txt"), None)
    if path is None:
        raise HeadwaterError(f"no stage of {LOCK} has read a takedown.txt: run `dvc repro`")
    wanted = takedown.read(Path(path))
    yield from lineage.broken()
    yield from lineage.disagreements(Path(path))
    ids: set[str] = set()
    likes = dict(_likes(lineage))
    yield from _withdrawn(lineage)
    for stage, folder in lineage.documents:
        found = leftovers.documents(folder, wanted, likes)
        ids |= set(found)
        if found:
            about = {"stage": stage.name, "in": folder.as_posix(), "documents": len(found)}
            yield Fact("left", about | {"urls": sorted(found.values())[:_TOLD], "problem": "run `dvc repro`"})
    for _, folder in lineage.tokens:
        rows = leftovers.tokens(folder, ids)
        if rows:
            yield Fact("left", {"in": folder.as_posix(), "documents": len(rows), "problem": "run `dvc repro`"})
            for trainer in training.trainers(lineage, folder):
                for model in training.holders(lineage, trainer):
                    yield Fact("affected", {"model": model, "until": "it is trained again: `dvc repro`"})
    entries = {kind: len(getattr(wanted, kind)) for kind in ("urls", "hosts", "ids", "texts")}
    if any(entries.values()):
        yield from _earlier(path, hashlib.md5(Path(path).read_bytes(), usedforsecurity=False).hexdigest())
    entries["similar"] = sum(len(one.urls | one.hosts | one.ids | one.texts) for _, one in wanted.similar)
    yield Fact("takedown", {"list": path, **entries, "folders": len(lineage.documents), "documents_left": len(ids)})


def _likes(lineage: Lineage) -> Iterator[tuple[str, float]]:
    """Ids of documents that are like a page that was taken down, with their similarity: those that went, and others."""
    likeness = importlib.import_module("stages.web.likeness")  # by name: core stands below the room that compares texts
    for path in _lists(lineage):
        rows = arrow.read(path, ["id", "similarity"]).to_pylist()
        yield from ((row["id"], row["similarity"]) for row in rows)
        for _, folder in lineage.documents[:1]:
            yield from likeness.left(folder, path).items()


def _withdrawn(lineage: Lineage) -> Iterator[Fact]:
    """What went because it was like a page of the list."""
    for path in _lists(lineage):
        yield from lineage.disagreements(path)
        rows = arrow.read(path, ["id", "of", "similarity"]).to_pylist()
        because = "it is like a page that was taken down"
        yield from (Fact("withdrawn", {**row, "because": because}) for row in rows if row["of"])


def _lists(lineage: Lineage) -> list[Path]:
    paths = (Path(path) for stage in lineage.stages for path in stage.makes)
    return [path for path in paths if path.name == "withdrawn.parquet" and path.is_file()]


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
