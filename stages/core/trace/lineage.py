"""The build that dvc.lock describes: its stages in order, what each made of what, and whether the files still agree."""

import configparser
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import yaml

from stages.core import fingerprint, shards
from stages.core.errors import HeadwaterError
from stages.core.tokens import DESCRIPTION

LOCK = Path("dvc.lock")

_DOCUMENTS = {"id", "url", "text"}
_BLOCK = 1 << 20


class Fact(NamedTuple):
    """One thing that is known, such as what a stage did with a document."""

    kind: str
    """What is told: capture, document, tokens, trained, model, stage, disagrees, …"""
    about: Mapping[str, Any]
    """Names and values, as JSON has them."""


@dataclass(frozen=True)
class Stage:
    """A stage as it was last built."""

    name: str
    command: str
    needs: Mapping[str, str]
    """Path to MD5 of what it read, code and data; of a folder, the hash of DVC's list of its files."""
    makes: Mapping[str, str]
    """Path to MD5 of what it wrote."""
    params: Mapping[str, Any]
    """Its section of params.yaml."""

    @property
    def code(self) -> dict[str, str]:
        """The files of the project that it runs, and the lock file."""
        return {path: md5 for path, md5 in self.needs.items() if _is_code(path)}

    @property
    def inputs(self) -> dict[str, str]:
        """What it read besides."""
        return {path: md5 for path, md5 in self.needs.items() if not _is_code(path)}


class Lineage:
    """A build of the project, whose root is the working folder.

    Args:
        lock: Text of its dvc.lock; by default that of the build that is here.

    Raises:
        HeadwaterError: there is no build here.
    """

    def __init__(self, lock: str | None = None) -> None:
        try:
            described = yaml.load(LOCK.read_text("utf-8") if lock is None else lock, Loader=yaml.CSafeLoader)
            stages = [_stage(name, stage) for name, stage in described["stages"].items()]
        except OSError:
            raise HeadwaterError(f"{LOCK} is not here: run in the project's root, after `dvc repro`") from None
        except (yaml.YAMLError, KeyError, TypeError, AttributeError):
            raise HeadwaterError(f"{LOCK} is damaged: `git checkout {LOCK}` brings the committed one back") from None
        self.stages = _ordered(stages)
        self._checked: dict[Path, Fact | None] = {}
        self._lists: dict[str, dict[str, str] | None] = {}

    def stage(self, name: str) -> Stage:
        """The stage of that name."""
        return next(stage for stage in self.stages if stage.name == name)

    def maker(self, path: str) -> Stage | None:
        """The stage that made a file or folder; None if it came from outside."""
        return next((stage for stage in self.stages if any(_within(path, made) for made in stage.makes)), None)

    @cached_property
    def documents(self) -> list[tuple[Stage, Path]]:
        """The folders of document shards, each with the stage that made it, in order."""
        return [(stage, folder) for stage, folder in self._folders() if _holds_documents(folder)]

    @cached_property
    def tokens(self) -> list[tuple[Stage, Path]]:
        """The folders of token shards."""
        return [(stage, folder) for stage, folder in self._folders() if (folder / DESCRIPTION).is_file()]

    @cached_property
    def models(self) -> list[tuple[Stage, Path]]:
        """The folders of models."""
        return [(stage, folder) for stage, folder in self._folders() if (folder / "config.json").is_file()]

    def gone(self) -> Iterator[Fact]:
        """What the build made and is not on disk any more, in one."""
        if missing := [path for stage in self.stages for path in stage.makes if not Path(path).exists()]:
            back = "`dvc checkout` or `dvc pull` brings them back, `dvc repro` makes them again"
            yield Fact("gone", {"paths": missing, "way_out": back})

    def broken(self) -> Iterator[Fact]:
        """Stages that were built from something else than what the stage before them has written."""
        for stage in self.stages:
            for path, md5 in stage.inputs.items():
                maker = self.maker(path)
                made = maker.makes.get(path, md5) if maker else md5
                if made != md5:
                    about = {"stage": stage.name, "path": path, "read": md5, "written": made}
                    yield Fact("stale", about | {"problem": "the stage was not built again: run `dvc repro`"})

    def disagreements(self, *paths: Path) -> Iterator[Fact]:
        """What differs between files and what dvc.lock says of them; each is read once."""
        for path in paths:
            if path not in self._checked:
                self._checked[path] = self._compared(path)
                if (fact := self._checked[path]) is not None:
                    yield fact

    def _compared(self, path: Path) -> Fact | None:
        name = path.as_posix()
        read = {of: md5 for stage in self.stages for of, md5 in stage.needs.items()}
        made = {of: md5 for stage in self.stages for of, md5 in stage.makes.items()}
        known = read | made  # a stage that read a file may not have been built again yet
        owner = next((of for of in known if _within(name, of)), None)
        if owner is None:
            return Fact("unverified", {"path": name, "because": f"{LOCK} does not name it"})
        listed = self.files(known[owner], owner) if known[owner].endswith(".dir") else {".": known[owner]}
        if listed is None:
            because = f"the list of the files of {owner} is not in the cache, and they are not those of {LOCK}: "
            because += "`dvc fetch` brings the list back, `dvc repro` makes them again"
            return Fact("unverified", {"path": name, "because": because})
        expected, found = listed.get(path.relative_to(owner).as_posix()), _md5(path)
        return None if found == expected else Fact("disagrees", {"path": name, "locked": expected, "found": found})

    def files(self, md5: str, folder: str | None = None) -> dict[str, str] | None:
        """The files of a folder of that hash, relative path to MD5, by DVC's list of them.

        None if the cache has not the list, and the files on disk, where ``folder`` says where they are, give another.
        """
        if md5 not in self._lists:
            try:
                listed = self.cached(md5).read_bytes()
            except OSError:
                listed = _list(Path(folder)) if folder else b""
            agrees = hashlib.md5(listed, usedforsecurity=False).hexdigest() == md5.removesuffix(".dir")
            self._lists[md5] = {entry["relpath"]: entry["md5"] for entry in json.loads(listed)} if agrees else None
        return self._lists[md5]

    def cached(self, md5: str) -> Path:
        """Where DVC's cache keeps a file of that hash, or the list of a folder's."""
        return _cache() / "files" / "md5" / md5[:2] / md5[2:]

    def _folders(self) -> Iterator[tuple[Stage, Path]]:
        for stage in self.stages:
            yield from ((stage, Path(path)) for path in stage.makes if Path(path).is_dir())


def _stage(name: str, locked: Mapping[str, Any]) -> Stage:
    needs, makes = ({entry["path"]: entry["md5"] for entry in locked.get(key, [])} for key in ("deps", "outs"))
    sections = locked.get("params", {}).get("params.yaml", {})
    return Stage(name, locked["cmd"], needs, makes, sections.get(name, {}))


def _ordered(stages: list[Stage]) -> list[Stage]:
    """Each stage after those whose outputs it reads; otherwise by name."""
    waiting, done = sorted(stages, key=lambda stage: stage.name), []
    while waiting:
        ready = next(one for one in waiting if not any(_reads(one, other) for other in waiting if other is not one))
        waiting.remove(ready)
        done.append(ready)
    return done


def _reads(stage: Stage, other: Stage) -> bool:
    return any(_within(path, made) or _within(made, path) for path in stage.needs for made in other.makes)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _is_code(path: str) -> bool:
    return path == "requirements.lock" or path.split("/")[0] in fingerprint.PACKAGES


def _holds_documents(folder: Path) -> bool:
    first = next(iter(shards.files(folder, "*.parquet")), None)
    return first is not None and set(pq.read_schema(first).names) >= _DOCUMENTS


def _cache() -> Path:
    """DVC's cache, which its configuration can place elsewhere."""
    folder = Path(".dvc")
    config = configparser.ConfigParser()
    config.read([folder / "config", folder / "config.local"], "utf-8")
    return folder / config.get("cache", "dir", fallback="cache")


def _list(folder: Path) -> bytes:
    """The files of a folder as DVC lists them, in whose hash the folder's is."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    listed = [{"md5": _md5(path), "relpath": name.as_posix()} for name, path in found.items()]
    return json.dumps(sorted(listed, key=lambda entry: entry["relpath"]), sort_keys=True).encode()


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
