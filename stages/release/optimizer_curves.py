"""What optimizers reached, as it was measured once beside the build: charts, and where their figures come from."""

import json
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from stages.core.params import check, params
from stages.release import charts


@params
class Origin:
    """Of the figures."""

    date: str
    machine: str
    model: str
    tokens: str
    """Hash of the description of the packed tokens."""


@params
class Curve:
    """A run, at each measurement of the loss of rows that it was not trained on."""

    optimizer: str
    peak: float
    """Of the learning rate."""
    tokens: tuple[int, ...]
    processor_seconds: tuple[float, ...]
    held_out_loss: tuple[float, ...]


@params
class Measured:
    """A file that tests/benchmarks/optimizers.py keeps."""

    measured_on: Origin
    runs: tuple[Curve, ...]


class Comparison(NamedTuple):
    """For the page."""

    origin: Origin
    names: list[tuple[str, str]]
    """Class of each line, and what it is of."""
    charts: list[tuple[str, Markup]]
    """What the loss is drawn against, and the chart."""


def compared(path: Path) -> Comparison:
    """The runs of a file, against tokens and against time.

    Raises:
        HeadwaterError: the file holds something else.
    """
    measured = check(Measured, json.loads(path.read_text("utf-8")), str(path))
    names = [(f"s{1 + number}", f"{run.optimizer} at {run.peak:g}") for number, run in enumerate(measured.runs)]
    drawn = []
    for label, column in (("tokens", "tokens"), ("seconds of one core", "processor_seconds")):
        series = [
            charts.Series(name, getattr(run, column), run.held_out_loss, style)
            for (style, name), run in zip(names, measured.runs, strict=True)
        ]
        ends = ", ".join(f"{one.name}: {one.y[-1]:.3f} at {one.x[-1]:,.0f}" for one in series)
        drawn.append((label, charts.lines(f"Held-out loss against {label}; {ends}", label, series)))
    return Comparison(measured.measured_on, names, drawn)
