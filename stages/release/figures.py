"""The figures that stages have written: read as one mapping, and shown as people read them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.core.errors import HeadwaterError

Measured = dict[str, dict[str, Any]]
"""Stage to its metrics, in the order of the stages."""


def read(paths: Sequence[Path]) -> Measured:
    """The metrics in ``paths``, each file named for its stage.

    Raises:
        HeadwaterError: a file is missing or is no JSON object.
    """
    return {path.stem: _object(path) for path in paths}


def chain(measured: Measured, dropped: Sequence[Path]) -> list[str]:
    """The stages that documents pass through: the crawl, measured first, and those with a folder of dropped ones.

    Raises:
        HeadwaterError: one of them was not measured.
    """
    stages = [next(iter(measured)), *(path.parent.name for path in dropped)]
    if missing := sorted(set(stages) - set(measured)):
        raise HeadwaterError(f"--measured lacks metrics/{missing[0]}.json, whose dropped documents are to be shown")
    return stages


def flat(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str | int | float]]:
    """Every single figure of nested metrics with its dotted name, in the order of the file."""
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, str | int | float):
            yield f"{prefix}{key}", value


def number(value: str | int | float) -> str:
    """A figure as people read it: thousands separated, fractions with four significant digits."""
    if isinstance(value, str | bool):
        return str(value)
    if isinstance(value, int) or (value == round(value) and abs(value) >= 1000):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise HeadwaterError(f"{path}: no metrics here: {error}; run `dvc repro {path.stem}`") from None
    if not isinstance(value, dict):
        raise HeadwaterError(f"{path}: metrics must be a JSON object, got {type(value).__name__}")
    return value
