"""The logs of training, as curves that fit a page."""

import csv
import math
from pathlib import Path

from markupsafe import Markup

from stages.core.errors import HeadwaterError
from stages.release import charts

# What is drawn, of the columns that a log may have.
_CURVES = {"loss": "loss, nats per token", "learning_rate": "learning rate", "gradient_norm": "norm of the gradient"}

# The loss of rows that are not learned from, as it was last measured (pretrain.training.held_out).
_HELD_OUT = "held_out_loss"


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


def curves(path: Path, points: int) -> list[tuple[str, Markup]]:
    """Name and chart of each curve of a log, of at most ``points`` points a line; none of a run of a single step."""
    log = read(path)
    steps = log["step"]
    if len(steps) < 2:
        return []
    by_tokens = "tokens" in log and log["tokens"][-1] > log["tokens"][0]
    x = log["tokens"] if by_tokens else steps
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
        drawn.append((label, charts.lines(title, unit, series)))
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
