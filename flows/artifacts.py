"""What a stage leaves in the Prefect UI: what went in and out with hashes, its metrics, drops, plots, a sample."""

import json
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from prefect import get_client, get_run_logger
from prefect.client.schemas.actions import ArtifactCreate
from prefect.runtime import flow_run, task_run

from flows import charts, graph, samples
from flows.graph import Stage

Metrics = dict[str, float]
"""Figures of a stage by dotted name, such as ``dropped.too_short``."""

Row = dict[str, Any]

Found = tuple[str, list[Row] | str, str]
"""An artifact: its kind, a table or Markdown, and what it is."""

# Signs between two letters or digits stay, but in "www.", which makes a link; every other sign of ASCII is escaped.
_SPECIAL = re.compile(r"(?<=[^\W_])(?<!www)([_.,/-])(?=[^\W_])|[!-/:-@\[-`{-~]", re.IGNORECASE)

_AWAY = 120.0  # seconds that a server may take to come back
_UNITS = ("B", "kB", "MB", "GB", "TB")


def key(stage: str, kind: str) -> str:
    """The name of a stage's artifact of one kind; Prefect allows lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{stage}-{kind}".lower()).strip("-")


def escape(text: str) -> str:
    """``text`` as Markdown that shows it as it is: the UI renders table cells, HTML too, and text may be from the web.

    What is harmless inside a word, as in ``too_short``, stays as it is. The escape is the backslash, because the UI
    shows ``&lt;`` in a cell as those four characters.
    """
    return _SPECIAL.sub(lambda found: found[1] or f"\\{found[0]}", " ".join(text.split()))


def measured(paths: Sequence[Path]) -> Metrics:
    """The figures of the last run: from the metrics files in the working tree, else from those of the last commit."""
    figures: Metrics = {}
    for path in paths:
        text = path.read_text("utf-8") if path.exists() else _committed(path)
        if text:
            figures.update(flat(json.loads(text)))
    return figures


def leave(stage: Stage, before: Metrics) -> None:
    """Create the artifacts of a stage that is built; ``before`` are its figures of the run before."""
    publish(stage.name, _of_stage(stage, before))


def publish(name: str, found: Iterable[Found]) -> None:
    """Create artifacts of the run that this is called in, keyed by ``name`` and their kind.

    Where the server is away for longer than a restart takes, they are left out: what is built is built.
    """
    made = [
        ArtifactCreate(
            key=key(name, kind),
            type="markdown" if isinstance(data, str) else "table",
            description=description,
            data=data if isinstance(data, str) else json.dumps(data),
            flow_run_id=flow_run.id,
            task_run_id=task_run.id,
        )
        for kind, data, description in found
    ]
    deadline = time.monotonic() + _AWAY
    # One client for all: Prefect's own functions make one each, which takes longer than the request.
    with get_client(sync_client=True) as client:
        while made:
            try:
                client.create_artifact(made[0])
            except httpx.TransportError as error:
                if time.monotonic() > deadline:
                    get_run_logger().warning("%d artifacts are missing: the server is away: %s", len(made), error)
                    return
                time.sleep(1)
            else:
                made.pop(0)


def _of_stage(stage: Stage, before: Metrics) -> Iterator[Found]:
    record = graph.locked(stage.name)
    yield "files", list(_files(record)), f"What went into {stage.name}, and what came out"
    after = measured(stage.metrics)
    drops = {name: count for name, count in after.items() if name.startswith("dropped.")}
    rest = {name: figure for name, figure in after.items() if name not in drops}
    if rest:
        rows = [_compared(name, figure, before.get(name)) for name, figure in rest.items()]
        yield "metrics", rows, f"Metrics of {stage.name} against the run before"
    if drops:
        ordered = sorted(drops.items(), key=lambda drop: (-drop[1], drop[0]))
        rows = [_compared(name.removeprefix("dropped."), count, before.get(name), "reason") for name, count in ordered]
        yield "drops", rows, f"What {stage.name} dropped, by reason"
    if images := [f"![{escape(plot.title)}]({image})" for plot in stage.plots if (image := charts.image(plot))]:
        yield "plots", "\n\n".join(images), f"Plots of {stage.name}"
    outs = [Path(entry["path"]) for entry in record.get("outs", [])]
    if sample := [{name: escape(text) for name, text in row.items()} for row in samples.of(outs)]:
        yield "sample", sample, f"A sample of what {stage.name} wrote"
    if pages := [f"[{escape(str(out))}]({out.resolve().as_uri()})" for out in outs if out.suffix == ".html"]:
        note = "\n\nBrowsers follow no link from a server to a file: copy its address into a new tab."
        yield "page", "\n\n".join(pages) + note, f"The page that {stage.name} wrote"


def _files(record: Mapping[str, Any]) -> Iterator[Row]:
    code = [entry for entry in record.get("deps", []) if entry["path"].endswith(".py")]
    data = [entry for entry in record.get("deps", []) if entry not in code]
    for kind, entries in (("in", data), ("out", record.get("outs", [])), ("code", code)):
        for entry in entries:
            yield {
                "kind": kind,
                "path": escape(entry["path"]),
                "hash": next((entry[name] for name in ("md5", "etag", "checksum") if name in entry), ""),
                "size": _size(entry.get("size")),
                "files": entry.get("nfiles", 1),
            }


def _compared(name: str, now: float, before: float | None, kind: str = "metric") -> Row:
    change = "" if before is None or before == now else f"{now - before:+,.6g}"
    return {
        kind: escape(name),
        "value": _figure(now),
        "before": "" if before is None else _figure(before),
        "change": change,
    }


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def _size(size: int | None) -> str:
    if size is None:
        return ""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {_UNITS[unit]}" if unit else f"{size} B"


def flat(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a metrics file by dotted name."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", value


def _committed(path: Path) -> str:
    shown = subprocess.run(["git", "show", f"HEAD:./{path}"], capture_output=True, text=True, check=False)
    return shown.stdout if shown.returncode == 0 else ""
