"""What is different between two builds: parameters, code, documents that came, went or changed sides, and figures."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from stages.core import arrow, shards
from stages.core.errors import HeadwaterError
from stages.core.trace.lineage import LOCK, Fact, Lineage, Stage
from stages.core.trace.revisions import shown

_EXAMPLES = 3
_ABSENT = "not there"


def compare(now: Lineage, revision: str) -> Iterator[Fact]:
    """What changed from the build of a Git revision to this one; its shards are read from DVC's cache.

    Raises:
        HeadwaterError: the revision is unknown or has no build.
    """
    before = Lineage(shown(revision, LOCK.as_posix()))
    names = dict.fromkeys(stage.name for stage in [*before.stages, *now.stages])
    sides = [{stage.name: stage for stage in lineage.stages} for lineage in (before, now)]
    for name in names:
        stages = [side.get(name) for side in sides]
        yield from _causes(name, *stages)
    yield from _documents(before, now)
    for name in names:
        yield from _figures(name, revision)


def _causes(name: str, before: Stage | None, now: Stage | None) -> Iterator[Fact]:
    if before is None or now is None:
        yield Fact("stage", {"stage": name, "change": "came" if before is None else "went"})
        return
    for key, (old, new) in _changed(_flat(before.params), _flat(now.params)).items():
        yield Fact("parameter", {"name": f"{name}.{key}", "before": old, "after": new})
    code = list(_changed(before.code, now.code))
    if code:
        yield Fact("code", {"stage": name, "changed": code})


def _documents(before: Lineage, now: Lineage) -> Iterator[Fact]:
    old, missing = _fates(before, cached=True)
    for path in missing:
        yield Fact("unknown", {"path": path, "because": "not in DVC's cache: `dvc fetch` may bring it back"})
    new, _ = _fates(now, cached=False)
    moved: dict[tuple[str, str], list[str]] = defaultdict(list)
    for url in sorted(old.keys() | new.keys()):
        pair = old.get(url, _ABSENT), new.get(url, _ABSENT)
        if pair[0] != pair[1] and not missing:
            moved[pair].append(url)
    for (was, became), urls in sorted(moved.items(), key=lambda item: (-len(item[1]), item[0])):
        about = {"documents": len(urls), "before": was, "after": became, "such_as": urls[:_EXAMPLES]}
        yield Fact("documents", about)


def _fates(lineage: Lineage, *, cached: bool) -> tuple[dict[str, str], list[str]]:
    """Where each URL ended, and the files that are not there to tell; one captured twice ends where it got furthest."""
    fates: dict[str, str] = {}
    missing = []
    for stage, name, path in _shards(lineage, cached=cached):
        if not path.is_file():
            missing.append(f"{name}/{path.name}")
            continue
        columns = set(pq.read_schema(path).names)
        if "url" not in columns:
            continue
        table = arrow.read(path, ["url", *({"reason"} & columns)]).to_pylist()
        fates |= {row["url"]: f"{stage}: {row['reason']}" if "reason" in row else name for row in table}
    return fates, missing


def _shards(lineage: Lineage, *, cached: bool) -> Iterator[tuple[str, str, Path]]:
    """Stage, folder and file of every Parquet shard, those of documents that go on after those that are dropped."""
    for stage in lineage.stages:
        for folder, md5 in sorted(stage.makes.items(), key=lambda made: not made[0].endswith("/dropped")):
            if not cached:
                yield from ((stage.name, folder, path) for path in shards.files(Path(folder), "*.parquet"))
            elif md5.endswith(".dir"):
                listed = lineage.files(md5)
                if listed is None:
                    yield stage.name, folder, Path(folder, "(all)")
                for file, hashed in sorted((listed or {}).items()):
                    if file.endswith(".parquet"):
                        yield stage.name, folder, lineage.cached(hashed)


def _figures(name: str, revision: str) -> Iterator[Fact]:
    path = Path("metrics", f"{name}.json")
    try:
        old, new = (json.loads(text) for text in (shown(revision, path.as_posix()), path.read_text("utf-8")))
    except (HeadwaterError, OSError, ValueError):
        return
    for key, (was, became) in _changed(_flat(old), _flat(new)).items():
        yield Fact("figure", {"name": f"{name}.{key}", "before": was, "after": became})


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    pairs = {key: (before.get(key), now.get(key)) for key in {**before, **now}}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with names like ``a.b``."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
