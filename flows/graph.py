"""The graph of stages as DVC sees it: what there is to build, in which order, and what has changed."""

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dvc.exceptions import DvcException
from dvc.lock import LockError, make_lock
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import plan_repro
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK
from pydantic import NonNegativeInt, PositiveInt

from stages.core import params as parameters
from stages.core.errors import HeadwaterError


@dataclass(frozen=True)
class Plot:
    """One column of a CSV file over another, as dvc.yaml declares it under ``plots``."""

    name: str
    path: Path
    x: str
    y: str
    title: str
    x_label: str
    y_label: str
    bars: bool
    """Whether each row is a bar named by ``y``, rather than a point of a line."""


@parameters.params
class Rules:
    """How flows build a stage: its ``meta: {flow: …}`` in dvc.yaml, which DVC itself passes over."""

    pool: str | None
    """The work pool of Prefect's whose worker builds it (`flows.pools`); None is where the flow runs."""
    at_once: dict[str, PositiveInt]
    """Kinds of stages that it is one of, such as those that need much memory: how many of each run at a time."""
    retries: NonNegativeInt
    """Times that it is tried again where it fails, as what depends on the network may."""


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml."""

    name: str
    needs: tuple[str, ...]
    """Names of the stages whose outputs it reads."""
    unchanged: bool
    """Whether DVC would skip it, and every stage before it, now."""
    metrics: tuple[Path, ...]
    """The metrics files that it writes, relative to the project's root."""
    plots: tuple[Plot, ...]
    """The plots of its outputs."""
    rules: Rules
    """What ``meta`` says of how flows build it."""


def check(targets: Sequence[str] = ()) -> None:
    """Check that there is a graph, and that it has ``targets``; looks at no file of theirs, so it takes no time.

    Raises:
        HeadwaterError: as :func:`read`.
    """
    try:
        by_name = {stage.addressing: stage for stage in Repo().index.graph}
    except DvcException as error:
        raise HeadwaterError(" ".join(str(error).split())) from None
    for target in targets:
        _named(target, by_name)


def read(targets: Sequence[str] = ()) -> list[Stage]:
    """The stages of dvc.yaml, or only ``targets`` and what those need, each after all that it needs.

    Raises:
        HeadwaterError: there is no DVC project here, dvc.yaml is wrong, or a target is no stage of it.
    """
    try:
        repo = Repo(_wait_for_lock=True)
        mend_list_of_locks(Path(repo.tmp_dir))
        with lock_repo(repo):
            graph = repo.index.graph
            by_name = {stage.addressing: stage for stage in graph}
            wanted = [_named(target, by_name) for target in targets]
            plots = list(_plots())
            stages: dict[str, Stage] = {}
            for stage in plan_repro(graph, wanted or None):
                needs = tuple(sorted(other.addressing for other in graph.successors(stage)))
                stages[stage.addressing] = Stage(
                    name=stage.addressing,
                    needs=needs,
                    unchanged=all(stages[other].unchanged for other in needs) and _unchanged(stage),
                    metrics=tuple(Path(out.def_path) for out in stage.outs if out.is_metric),
                    plots=tuple(plot for plot in plots if any(_within(plot.path, out) for out in stage.outs)),
                    rules=_rules(stage),
                )
            _check_kinds(stages.values())
            return list(stages.values())
    except DvcException as error:
        raise HeadwaterError(" ".join(str(error).split())) from None


def locked(stage: str) -> dict[str, Any]:
    """What dvc.lock records of ``stage``: ``deps``, ``params`` and ``outs``; empty if it was never built."""
    repo = Repo(_wait_for_lock=True)
    with repo.lock:  # DVC rewrites the file in place
        try:
            record = yaml.safe_load(Path("dvc.lock").read_text("utf-8"))
        except FileNotFoundError:
            return {}
    entry: dict[str, Any] = record.get("stages", {}).get(stage, {})
    return entry


def mend_list_of_locks(folder: Path) -> None:
    """Remove DVC's list of the paths in use if it is cut off, as a kill leaves it while DVC writes it in place.

    Every DVC command refuses such a list. All it names are processes that use a path now; those that are dead DVC
    passes over anyway, so nothing is lost with it.
    """
    path = folder / RWLOCK_FILE
    if path.exists():
        with make_lock(str(folder / RWLOCK_LOCK), tmp_dir=str(folder), wait=True):  # none is writing it now
            try:
                json.loads(path.read_bytes())
            except ValueError:
                path.unlink()
            except FileNotFoundError:  # another process was at it first
                pass


def _rules(stage: Any) -> Rules:
    said = (stage.meta or {}).get("flow", {})
    where = f"dvc.yaml: {stage.addressing}: meta.flow"
    return parameters.check(Rules, {"pool": None, "at_once": {}, "retries": 0, **said}, where=where)


def _check_kinds(stages: Iterable[Stage]) -> None:
    """Check that stages agree on how many of a kind run at a time."""
    said: dict[str, tuple[int, str]] = {}
    for stage in stages:
        for kind, number in stage.rules.at_once.items():
            first, other = said.setdefault(kind, (number, stage.name))
            if number != first:
                raise HeadwaterError(f"dvc.yaml: at_once: {kind} is {first} for {other} and {number} for {stage.name}")


def _named(target: str, stages: dict[str, Any]) -> Any:
    if target not in stages:
        near = difflib.get_close_matches(target, stages, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the stages are {', '.join(stages)}"
        raise HeadwaterError(f"dvc.yaml: no stage {target!r}; {hint}")
    return stages[target]


def _plots() -> Iterator[Plot]:
    for declared in yaml.safe_load(Path("dvc.yaml").read_text("utf-8")).get("plots", []):
        for name, plot in declared.items():
            for path, y in plot["y"].items():
                x = plot["x"]
                yield Plot(
                    name=name,
                    path=Path(path),
                    x=x,
                    y=y,
                    title=plot.get("title", name),
                    x_label=plot.get("x_label", x),
                    y_label=plot.get("y_label", y),
                    bars=plot.get("template", "").startswith("bar"),
                )


def _within(path: Path, out: Any) -> bool:
    return path.is_relative_to(out.def_path)


def _unchanged(stage: Any) -> bool:
    try:
        return not stage.changed()
    except LockError:  # another build is at it; DVC will say when it gets there
        return False
