"""The logs of training, as curves that fit a page."""

import csv
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from stages.core.errors import HeadwaterError
from stages.release import charts, corpus

# What is drawn, of the columns that a log may have.
_CURVES = {"loss": "loss, nats per token", "learning_rate": "learning rate", "gradient_norm": "norm of the gradient"}

# The loss of rows that are not learned from, as it was last measured (pretrain.training.held_out).
_HELD_OUT = "held_out_loss"

# Of a document, alone or as "document …, heading 3".
_ID = re.compile(r"\b[0-9a-f]{32}\b")


def read(path: Path) -> dict[str, list[float]]:
    """Column to values, without the rows in which a number is missing or not finite.

    Raises:
        HeadwaterError: the log has no column ``step``.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        names = reader.fieldnames or []
        if "step" not in names:
            raise HeadwaterError(f"{path}: not a log of training: it has no column 'step'")
        rows = [row for line in reader if (row := _finite(line))]
    return {name: [row[name] for row in rows] for name in names}


@dataclass(frozen=True)
class Spike:
    """A step that was not learned from."""

    step: int
    why: str
    loss: str
    gradient_norm: str
    back_to: int | None
    """The step that the run went back to; None where it left the step out."""
    sources: list[str]
    """Addresses of the documents of its batch, or what else it was made of."""
    more: int
    """Documents that are left out."""


def told(paths: Iterable[Path], training: Path, shown: int) -> dict[str, list[Spike]]:
    """Stage to its steps that were not learned from; of each the first ``shown`` documents, and no more steps."""
    records = {path.parent.name: _records(path) for path in paths}
    sources = {source for steps in records.values() for record in steps[:shown] for source in record["sources"][:shown]}
    ids = {source: found[0] for source in sources if (found := _ID.search(source))}
    addresses = corpus.addresses(training, set(ids.values()))
    urls = {source: addresses[one] for source, one in ids.items() if one in addresses}
    return {
        stage: [
            Spike(
                **{name: record[name] for name in ("step", "why", "loss", "gradient_norm", "back_to")},
                sources=[urls.get(source, source) for source in record["sources"][:shown]],
                more=max(0, len(record["sources"]) - shown),
            )
            for record in steps[:shown]
        ]
        for stage, steps in records.items()
    }


def _records(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return found


def curves(path: Path, spikes: Iterable[Path], points: int) -> list[tuple[str, Markup]]:
    """Name and chart of each curve of a log, of at most ``points`` points a line; none of a run of a single step.

    Steps of the run's own file of ``spikes`` are marked in the loss.
    """
    log = read(path)
    steps = log["step"]
    if len(steps) < 2:
        return []
    by_tokens = "tokens" in log and log["tokens"][-1] > log["tokens"][0]
    x = log["tokens"] if by_tokens else steps
    struck = {record["step"] for file in spikes if file.parent == path.parent for record in _records(file)}
    marked = [(at, f"step {step:g} was not learned from") for step, at in zip(steps, x, strict=True) if step in struck]
    drawn = []
    for name, label in _CURVES.items():
        if name not in log:
            continue
        y = log[name]
        series = [charts.Series(label, *thin(x, y, points), style="s1")]
        if name != "learning_rate" and len(y) >= 50:
            # The steps are noisy: they stay as a faint line behind their running mean.
            mean = charts.Series(f"{label}, running mean", *thin(x, charts.smooth(y), points), style="s1")
            series = [charts.Series(label, *thin(x, y, points), style="faint"), mean]
        if name == "loss" and _HELD_OUT in log:
            measured = [at for at in range(len(y)) if not at or log[_HELD_OUT][at] != log[_HELD_OUT][at - 1]]
            curve = thin([x[at] for at in measured], [log[_HELD_OUT][at] for at in measured], points)
            series.append(charts.Series("loss of held-out rows", *curve, style="s2"))
            label = "loss of training and held-out rows, nats per token"
        unit = "tokens" if by_tokens else "step"
        title = f"{path.parent.name}: {label}, from {y[0]:.4g} to {y[-1]:.4g} in {len(steps):,} steps"
        drawn.append((label, charts.lines(title, unit, series, marked if name == "loss" else ())))
    return drawn


def thin(x: list[float], y: list[float], points: int) -> tuple[list[float], list[float]]:
    """At most ``points`` of the points, evenly, the last one included."""
    stride = max(1, math.ceil(len(x) / points))
    last = len(x) - 1
    kept = [index for index in range(len(x)) if (last - index) % stride == 0]
    return [x[index] for index in kept], [y[index] for index in kept]


def _finite(line: dict[str, str]) -> dict[str, float] | None:
    try:
        row = {name: float(value) for name, value in line.items()}
    except (TypeError, ValueError):  # a row that a kill cut short
        return None
    return row if all(map(math.isfinite, row.values())) else None
