"""A scaling ladder: the same sweep at several sizes, the law of their best losses, and what it says of the next size.

A ladder file (infra/sweeps/ladders/) names the sizes and the sweep. The law (flows/law.py), its prediction for the
next size and, with ``--next``, which trains that too, the error of the prediction are written as JSON and as a page.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Completed, Failed
from pydantic import PositiveFloat

from flows import artifacts, command, findings, history, law, processes, search, server, trial
from flows.scatter import Axis, Points, scatter
from flows.search import Search
from flows.study import opened
from flows.sweep import tried
from stages.core.errors import HeadwaterError
from stages.core.params import check, params, read
from stages.release import page

_CURVE = 60  # points of the law's line
_AGREES = 0.01  # of a size, by which what is measured may differ from what the file says


@params
class Size:
    """One rung."""

    size: PositiveFloat
    """Of the model, or of its training, in the measure of the ladder's `size`."""
    values: dict[str, Any]
    """Parameters that make it that large."""


@params
class Ladder:
    """A ladder file."""

    size: str
    """What the loss is a law of, as <stage>.<name in its metrics>, such as pretrain.parameters."""
    sizes: tuple[Size, ...]
    """What the law is fitted to: at least three."""
    next: Size
    """What it is asked about."""
    sweep: Search
    """What is searched at each size; its objective is the loss."""


@dataclasses.dataclass(frozen=True)
class Rung:
    """What the sweep of a size found."""

    size: float
    loss: float
    trial: str
    """The best one's experiment."""
    values: dict[str, Any]
    """Of what was searched."""
    others: list[float]
    """Losses of the other trials."""


def load(file: Path) -> Ladder:
    """The ladder that a file describes.

    Raises:
        HeadwaterError: no such file, or something in it is wrong.
    """
    found = check(Ladder, read(file), where=str(file))
    if len(found.sizes) < 3 or len({one.size for one in found.sizes}) < len(found.sizes):
        raise HeadwaterError(f"{file}: sizes must be at least three, all different: the law has three unknowns")
    if found.next.size <= max(one.size for one in found.sizes):
        raise HeadwaterError(f"{file}: next.size must be larger than all sizes")
    for one in (*found.sizes, found.next):
        search.require(_search(found, one), f"{file}: size {one.size:.0f}")
    if list(found.sweep.objectives.values()) != ["minimize"]:
        raise HeadwaterError(f"{file}: sweep.objectives must be one loss to minimize")
    return found


class _StoppedError(Exception):
    """The sweep of a size was stopped, and so the ladder is."""


@flow(name="ladder", flow_run_name=lambda: Path(flow_run.parameters["file"]).stem, persist_result=False)
def ladder(file: str, train_next: bool = False, parallel: int = 1, storage: str | None = None) -> State:
    """Sweep each size, fit the law and predict the next.

    Args:
        file: The ladder file, such as infra/sweeps/ladders/model_size.yaml.
        train_next: Sweep the next size too, and tell the error of the prediction.
        parallel: Trials at the same time.
        storage: URL of the studies' database; none takes one in the project.
    """
    processes.claim()
    try:
        wanted, label = load(Path(file)), Path(file).stem
        rungs = [_swept(wanted, one, label, parallel, storage) for one in wanted.sizes]
        fitted = law.fit([one.size for one in rungs], [one.loss for one in rungs])
        result = _result(wanted, rungs, fitted, None)
        path = _written(label, wanted, rungs, fitted, result)
        if train_next:
            get_run_logger().info("%s", result["says"])
            result = _result(wanted, rungs, fitted, _swept(wanted, wanted.next, label, parallel, storage))
            _written(label, wanted, rungs, fitted, result)
        rows = [{"size": one.size, "loss": one.loss, "trial": one.trial, **findings.cells(one.values)} for one in rungs]
        artifacts.publish(f"ladder-{label}", [("sizes", rows, f"{result['says']}; charts: {path}")])
        return Completed(message=f"{result['says']}; {path}")
    except _StoppedError:
        return Cancelled(message="stopped; run it again to continue")
    except HeadwaterError as error:
        return Failed(message=str(error))


def _search(wanted: Ladder, one: Size) -> Search:
    """The sweep of a size."""
    return dataclasses.replace(wanted.sweep, fixed={**wanted.sweep.fixed, **one.values})


def _swept(wanted: Ladder, one: Size, label: str, parallel: int, storage: str | None) -> Rung:
    """What the sweep of a size finds."""
    with opened(f"{label}-{one.size:.0f}", _search(wanted, one), storage) as study:
        state = tried(study, parallel)
        if state.is_cancelled():
            raise _StoppedError
        if not state.is_completed():
            raise HeadwaterError(f"size {one.size:.0f}: {state.message}")
        (best,) = study.best()
        name = study.experiment(best.number)
        size = trial.result(name, wanted.size)
        if abs(size - one.size) > _AGREES * one.size:
            raise HeadwaterError(f"size {one.size:.0f}: {wanted.size} is {size:.0f}; write that, or mend its values")
        others = [found.values[0] for found in study.results()[1:]]
        return Rung(size, best.values[0], name, findings.drawn(study, best), others)


def _result(wanted: Ladder, rungs: Sequence[Rung], fitted: law.Law, then: Rung | None) -> dict[str, Any]:
    """What was found, as JSON has it."""
    (metric,) = wanted.sweep.objectives
    size = then.size if then else wanted.next.size
    predicted = fitted.at(size)
    says = (
        f"{metric} = {fitted.floor:.4g} + {fitted.scale:.4g} / {wanted.size}^{fitted.exponent:.4g}; "
        f"of {size:,.0f} it predicts {predicted:.4f}"
    )
    found: dict[str, Any] = {
        "form": law.FORM,
        "size": wanted.size,
        "loss": metric,
        "law": {"E": fitted.floor, "A": fitted.scale, "a": fitted.exponent},
        "sizes": [
            {**dataclasses.asdict(one), "error": fitted.at(one.size) / one.loss - 1, "sweep": _sweep_of(one)}
            for one in rungs
        ],
        "next": {"size": size, "predicted": predicted},
    }
    if then:
        error = predicted / then.loss - 1
        found["next"] |= {"measured": then.loss, "error": error, **dataclasses.asdict(then)}
        says += f", measured {then.loss:.4f}: {100 * error:+.2f} %"
    return {**found, "says": says}


def _sweep_of(rung: Rung) -> str:
    return rung.trial.rpartition("-")[0]


def _written(label: str, wanted: Ladder, rungs: Sequence[Rung], fitted: law.Law, result: dict[str, Any]) -> Path:
    """Write the result as JSON and as a page; the page's path."""
    folder: Path = get_current_settings().home / "sweeps" / label
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ladder.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    rows = [
        {
            "size": f"{one['size']:,.0f}",
            "loss": f"{one['loss']:.4f}",
            "predicted": f"{fitted.at(one['size']):.4f}",
            "trial": one["trial"],
            "values": ", ".join(f"{name} {findings.shown(value)}" for name, value in one["values"].items()),
        }
        for one in [*result["sizes"], *([result["next"]] if "measured" in result["next"] else [])]
    ]
    sections = {"name": label, "result": result, "rows": rows, "chart": _chart(wanted, rungs, fitted, result["next"])}
    path = folder / findings.FILE
    path.write_text(page.styled("templates/ladder.html", sections), "utf-8")
    return path


def _chart(wanted: Ladder, rungs: Sequence[Rung], fitted: law.Law, then: dict[str, Any]) -> Any:
    (metric,) = wanted.sweep.objectives
    low, high = min(one.size for one in rungs), then["size"]
    curve = [low * (high / low) ** (step / _CURVE) for step in range(_CURVE + 1)]
    others = [(one.size, loss) for one in rungs for loss in one.others]
    groups = [
        Points(curve, [fitted.at(x) for x in curve], "s1"),
        Points(
            [x for x, _ in others],
            [y for _, y in others],
            "muted",
            [f"another trial: {loss:.4f}" for _, loss in others],
        ),
        Points([one.size for one in rungs], [one.loss for one in rungs], "s1", [f"{one.loss:.4f}" for one in rungs]),
        Points([high], [then["predicted"]], "muted", [f"predicted {then['predicted']:.4f}"]),
    ]
    if "measured" in then:
        groups.append(Points([high], [then["measured"]], "lost", [f"measured {then['measured']:.4f}"]))
    drawn = [one for one in groups if one.x]
    return scatter(f"{metric} by {wanted.size}", Axis(wanted.size, log=True), Axis(metric), drawn)


@command.explained
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of ``python -m flows.ladder``; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m flows.ladder", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("file", type=Path, help="ladder file, such as infra/sweeps/ladders/model_size.yaml")
    parser.add_argument("--next", action="store_true", help="train the next size too, and tell the prediction's error")
    parser.add_argument("--parallel", type=int, default=1, help="trials at the same time (default: 1)")
    parser.add_argument("--storage", help="URL of the studies' database (default: SQLite in the project)")
    options = parser.parse_args(arguments)
    load(options.file)
    history.require_clean("a ladder")
    with server.used():
        return command.ended(
            ladder(str(options.file), options.next, options.parallel, options.storage, return_state=True)
        )


if __name__ == "__main__":
    sys.exit(main())
