"""The graph of the build: which stage reads what another has written, drawn, and listed with the hashes of it all.

Stages and paths come from dvc.yaml; hashes are taken here, of the files that the report is given. What it is not given
stands without one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from stages.core import fingerprint
from stages.core.errors import HeadwaterError
from stages.release import charts
from stages.release.figures import Measured, number

_CODE = ("stages/", "requirements.lock", "metrics/")  # what every stage reads besides data


@dataclass(frozen=True)
class Artifact:
    """A file or folder that a stage reads or writes."""

    path: str
    stages: list[str]
    """For one that is read: the stage that wrote it, if any did; for one that is written: the stages that read it."""
    files: int
    bytes: int
    digest: str
    """SHA-256, of a folder over the names and hashes of its files; empty where the report was not given it."""


@dataclass(frozen=True)
class Stage:
    """A stage of the graph."""

    name: str
    command: str
    reads: list[Artifact]
    writes: list[Artifact]
    code: int
    """Files of code that it depends on."""


def read(graph: Path, given: Iterable[Path]) -> list[Stage]:
    """The stages of dvc.yaml in its order, with the hashes of the files and folders that are ``given``.

    Raises:
        HeadwaterError: the file has no stages.
    """
    try:
        described: Mapping[str, Any] = yaml.safe_load(graph.read_text("utf-8"))["stages"]
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise HeadwaterError(f"{graph}: no graph of stages: {' '.join(str(error).split())}") from None
    known = {path.as_posix(): path for path in given}
    reads = {name: [path for path in stage["deps"] if not path.startswith(_CODE)] for name, stage in described.items()}
    writes = {name: [_path(out) for out in stage.get("outs", [])] for name, stage in described.items()}
    return [
        Stage(
            name=name,
            command=" ".join(stage["cmd"].split()),
            reads=[_artifact(path, _touching(path, writes), known) for path in reads[name]],
            writes=[_artifact(path, _touching(path, reads), known) for path in writes[name]],
            code=sum(path.startswith("stages/") for path in stage["deps"]),
        )
        for name, stage in described.items()
    ]


def draw(stages: Sequence[Stage], measured: Measured) -> Markup:
    """The graph; each stage links to its own part of the page."""
    return charts.graph(
        "Stages of the build, and what each reads from the others",
        [charts.Node(stage.name, _counts(measured.get(stage.name)), f"#stage-{stage.name}") for stage in stages],
        [(before, stage.name) for stage in stages for before in _before(stage)],
    )


def files(*paths: Path) -> list[tuple[str, int, str]]:
    """Path, bytes and SHA-256 of every file in ``paths``, folders opened."""
    found = [
        file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()
    ]
    return [(file.as_posix(), file.stat().st_size, fingerprint.file_hash(file)) for file in found]


def _counts(metrics: Mapping[str, Any] | None) -> str:
    return f"{number(metrics['in'])} → {number(metrics['out'])}" if metrics else "this page"


def _before(stage: Stage) -> list[str]:
    return sorted({name for artifact in stage.reads for name in artifact.stages})


def _path(out: Any) -> str:
    return str(next(iter(out))) if isinstance(out, dict) else str(out)


def _touching(path: str, sides: Mapping[str, list[str]]) -> list[str]:
    """The stages of which a path is, holds or lies in one of theirs."""
    return [name for name, others in sides.items() if any(_within(path, one) or _within(one, path) for one in others)]


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _artifact(path: str, stages: list[str], given: Mapping[str, Path]) -> Artifact:
    place = given.get(path)
    if place is None or not place.exists():
        return Artifact(path, stages, 0, 0, "")
    files = [file for file in place.rglob("*") if file.is_file()] if place.is_dir() else [place]
    size = sum(file.stat().st_size for file in files)
    return Artifact(path, stages, len(files), size, fingerprint.file_hash(place))
