"""What a model is made of: every stage behind it with its parameters, its code, and the hashes of what it read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.core import hardware
from stages.core.errors import HeadwaterError
from stages.core.trace.lineage import LOCK, Fact, Lineage, Stage
from stages.core.trace.revisions import git


def ingredients(lineage: Lineage, model: str) -> Iterator[Fact]:
    """Everything behind a model, from itself back to the crawl.

    Raises:
        HeadwaterError: the build has made no such model.
    """
    path = model.rstrip("/")
    maker = next((stage for stage, folder in lineage.models if folder.as_posix() == path), None)
    if maker is None:
        known = ", ".join(folder.as_posix() for _, folder in lineage.models)
        raise HeadwaterError(f"{model}: this build made no such model; it made {known or 'none'}")
    yield Fact("model", {"path": path, "made_by": maker.name, "md5": maker.makes.get(path)})
    yield from lineage.disagreements(*(file for file in sorted(Path(path).iterdir()) if file.is_file()))
    yield Fact("code", _commit())
    for stage in behind(lineage, maker):
        about = {"stage": stage.name, "command": stage.command, "params": stage.params}
        yield Fact("stage", about | {"inputs": stage.inputs, "outputs": stage.makes, "code": stage.code})
        yield Fact("hardware", {"stage": stage.name, **_machines(stage)})
        yield from _sources(lineage, stage)


def behind(lineage: Lineage, maker: Stage) -> list[Stage]:
    """A stage and all that it depends on, the last one first."""
    wanted = {maker.name}
    for stage in reversed(lineage.stages):
        if stage.name in wanted:
            makers = (lineage.maker(path) for path in stage.inputs)
            wanted |= {one.name for one in makers if one is not None}
    return [stage for stage in reversed(lineage.stages) if stage.name in wanted]


def _machines(stage: Stage) -> dict[str, Any]:
    """What a stage ran on: one machine, or several where it went on elsewhere or was run again."""
    found = hardware.recorded(stage.name, stage.makes.get(f"metrics/{stage.name}.json", ""))
    if not found:
        return {"unknown": "it was not built here, or its work area was removed"}
    return found[0] if len(found) == 1 else {"machines": found}


def _sources(lineage: Lineage, stage: Stage) -> Iterator[Fact]:
    """The files that came from outside: what a stage without inputs of the build has read and written."""
    if any(lineage.maker(path) for path in stage.inputs):
        return
    for path, md5 in stage.makes.items():
        for name, hashed in sorted((lineage.files(md5, path) or {}).items()) if md5.endswith(".dir") else []:
            yield Fact("source", {"path": f"{path}/{name}", "md5": hashed})


def _commit() -> dict[str, str | int]:
    """The commit that dvc.lock was last written in, and how many files of the build have changed since."""
    commit = git("log", "-1", "--format=%H", "--", LOCK.as_posix())
    if not commit:
        return {"commit": "unknown: dvc.lock is in no commit"}
    changed = git("diff", "--name-only", commit, "--", LOCK.as_posix(), "params.yaml", "stages")
    return {"commit": commit, "changed_since": len(changed.splitlines())}
