"""What pretraining had learned by earlier steps, as the evaluation measured it: charts against the tokens seen."""

import csv
from pathlib import Path

from markupsafe import Markup

from stages.release import charts

FILE = "learning_curve.csv"
"""Of the folder of results."""

_DRAWN = {"bits_per_byte": "bits per byte of held-out documents", "cloze": "share of cloze questions answered right"}


def drawn(results: Path) -> list[tuple[str, Markup]]:
    """Name and chart of each figure that two steps have, between lines of two standard errors to either side."""
    path = results / FILE
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for column, label in _DRAWN.items():
        measured = [row for row in rows if row[column]]
        if len(measured) < 2:
            continue
        tokens = [float(row["tokens"]) for row in measured]
        values = [float(row[column]) for row in measured]
        errors = [2 * float(row[f"{column}_stderr"] or 0) for row in measured]
        edges = [[value + side * error for value, error in zip(values, errors, strict=True)] for side in (-1, 1)]
        series = [charts.Series(f"{label}, two standard errors off", tokens, edge, "faint") for edge in edges]
        title = (
            f"{label}, from {values[0]:.3f} after {tokens[0]:,.0f} tokens to {values[-1]:.3f} after {tokens[-1]:,.0f}"
        )
        found.append((label, charts.lines(title, "tokens", [*series, charts.Series(label, tokens, values, "s1")])))
    return found
