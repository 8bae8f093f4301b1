"""What the evaluation found, as rows for tables and bars; absent figures are left out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from stages.core.errors import HeadwaterError
from stages.core.untrusted import shorten
from stages.release import charts, learning_curves
from stages.release.figures import number


@dataclass(frozen=True)
class Change:
    """What tuning made of one figure."""

    task: str
    metric: str
    questions: int
    """Documents or questions that both models were asked."""
    before: float
    after: float
    interval: tuple[float, float] | None
    """Of the difference, 95 %; None for too few questions."""
    verdict: str


@dataclass(frozen=True)
class Learned:
    """How well a model tells what it was tuned for, on rows that it has not learned from."""

    rows: int
    figures: list[tuple[str, float, tuple[float, float]]]
    """Name, value, 95 % interval; those of one class by the name of the class behind theirs."""
    classes: list[str]
    confusion: list[tuple[str, list[tuple[int, float]]]]
    """Of each class its name, and how many of its rows were taken for each class, as a count and a share."""


@dataclass(frozen=True)
class Score:
    """One figure of one task."""

    model: str
    task: str
    metric: str
    value: float
    error: float | None
    """Standard error."""
    chance: float | None
    """What guessing scores."""
    above_chance: float | None
    """Distance from it in standard errors."""


def read(folder: Path) -> dict[str, Any]:
    """All figures of the evaluation.

    Raises:
        HeadwaterError: ``results.json`` is missing or damaged.
    """
    path = folder / "results.json"
    try:
        figures: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise HeadwaterError(f"{path}: no results here: {error}; run `dvc repro evaluate`") from None
    return figures


def sections(
    figures: Mapping[str, Any], measured: Mapping[str, Any], folder: Path, rows: int, characters: int
) -> dict[str, Any]:
    """What the page shows, by name of its template's variables; of groups at most ``rows``."""
    return {
        "learning": learning_curves.drawn(folder),
        "comparison": comparison(figures),
        "groups": {kind: by_group(figures, kind, rows) for kind in ("by_language", "by_host")},
        "scores": scores(figures),
        "changes": changes(figures),
        "learned": learned(measured.get("finetune", {}).get("test", {}), rows),
        "repeated": repeated(figures, rows, characters),
        "samples": samples(folder, characters),
    }


def compared(figures: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Name, bits per byte and standard error (0 if unknown) of every model and compressor, the best first."""
    rows = [
        (f"{name} model", overall["bits_per_byte"], overall.get("stderr") or 0.0)
        for name, model in figures.get("models", {}).items()
        if (overall := model.get("overall", {}).get("all"))
    ]
    compressors = figures.get("compressors", {}).get("overall", {}).get("all", {})
    rows += [(name.replace("-", " -"), value, 0.0) for name, value in compressors.items()]
    return sorted(rows, key=lambda row: (row[1], row[0]))


def comparison(figures: Mapping[str, Any]) -> Markup | None:
    """Models beside compressors as bars, shorter is better; None where nothing was compared."""
    rows = compared(figures)
    bars = []
    for name, value, error in rows:
        style = "s1" if name.endswith(" model") else "muted"
        note = f"{value:.3f}" + (f" ± {error:.3f}" if error else "")
        bars.append(charts.Bar(name, [(value, style, f"{name}: {note} bits per byte")], note, error))
    return charts.bars("Bits per byte of the held-out text; shorter is better", bars) if bars else None


def by_group(figures: Mapping[str, Any], kind: str, rows: int) -> list[dict[str, Any]]:
    """Figures of the groups ``kind`` (``by_language``, ``by_host``) with most bytes: name, counts, and by model
    or compressor the bits per byte (``figures``) and their standard errors (``errors``)."""
    models = figures.get("models", {})
    groups: dict[str, dict[str, Any]] = {}
    for model, found in models.items():
        for name, figure in found.get(kind, {}).items():
            row = groups.setdefault(name, {"name": name, "figures": {}, "errors": {}})
            row |= {"documents": figure.get("documents", 0), "bytes": figure.get("bytes", 0)}
            row["figures"][model] = figure["bits_per_byte"]
            row["errors"][model] = figure.get("stderr")
    for name, found in figures.get("compressors", {}).get(kind, {}).items():
        if name in groups:
            groups[name]["figures"] |= found
    return sorted(groups.values(), key=lambda row: (-row["bytes"], row["name"]))[:rows]


def scores(figures: Mapping[str, Any]) -> list[Score]:
    """Every metric of every task for every model."""
    found = []
    for model, results in figures.get("models", {}).items():
        for task, metrics in results.get("tasks", {}).items():
            for metric, value in metrics.items():
                derived = metric in ("chance", "questions") or metric.endswith(("_stderr", "_stderrs_above_chance"))
                if derived or not isinstance(value, int | float):
                    continue
                above = metrics.get(f"{metric}_stderrs_above_chance")
                chance = metrics.get("chance") if above is not None else None
                found.append(Score(model, task, metric, value, metrics.get(f"{metric}_stderr"), chance, above))
    return found


def changes(figures: Mapping[str, Any]) -> list[Change]:
    """Every figure of the tuned model beside the pretrained one's, the held-out documents first."""
    found = []
    for task, metrics in sorted(figures.get("tuning", {}).items(), key=lambda one: (one[0] != "held_out", one[0])):
        for metric, change in metrics.items():
            interval = None if change["low"] is None else (change["low"], change["high"])
            counted = (change["questions"], change["before"], change["after"])
            found.append(Change(task, metric, *counted, interval, change["verdict"]))
    return found


def learned(tested: Mapping[str, Any], rows: int) -> Learned | None:
    """What the stage finetune measured on its test rows (``test`` of its metrics): classes, tags or numbers.

    Of many classes the ``rows`` with most rows are kept. None where nothing of the kind was learned.
    """
    matrix = tested.get("confusion", {})
    names = sorted(matrix, key=lambda name: (-sum(matrix[name].values()), name))[:rows]
    groups = {**tested.get("by_class", {}), **tested.get("by_type", {})}
    shown = names or sorted(groups)[:rows]
    figures = [(name, figure) for name, figure in tested.items() if _is_measured(figure)]
    figures += [(f"{kind}, {name}", figure) for name in shown for kind, figure in groups[name].items()]
    if not figures:
        return None
    listed = [(name, figure["value"], (figure["interval"][0], figure["interval"][1])) for name, figure in figures]
    counts = {name: [matrix[name].get(other, 0) for other in names] for name in names}
    of = {name: sum(matrix[name].values()) or 1 for name in names}
    confusion = [(name, [(count, count / of[name]) for count in row]) for name, row in counts.items()]
    return Learned(tested["rows"], listed, names, confusion)


def _is_measured(figure: Any) -> bool:
    return isinstance(figure, Mapping) and "interval" in figure


def repeated(figures: Mapping[str, Any], rows: int, characters: int) -> list[dict[str, Any]]:
    """What models repeat, by model and kind of passage: ``model``, ``kind``, ``passages``, ``window``, the shares
    ``repeated`` and ``listed_words``, and of the repeated ``texts`` the first ``rows`` with their pages."""
    found = []
    for model, results in figures.get("models", {}).items():
        for kind, row in results.get("memorisation", {}).items():
            texts = [{"text": shorten(one["text"], characters), "url": one["url"]} for one in row["texts"][:rows]]
            if row["passages"]:
                found.append({"model": model, "kind": kind, **row, "texts": texts})
    return found


def samples(folder: Path, characters: int) -> list[dict[str, str]]:
    """Texts that the models wrote: ``model``, ``prompt``, ``text`` and ``url``; none if there is no samples.jsonl."""
    path = folder / "samples.jsonl"
    if not path.is_file():
        return []
    lines = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]  # a text may hold U+2028
    keys = ("model", "prompt", "text", "url")
    return [{key: shorten(str(line.get(key, "")), characters) for key in keys} for line in lines]


def headline(figures: Mapping[str, Any]) -> tuple[str, str] | None:
    """The best model's bits per byte, and what it is compared with; None where there is no model."""
    rows = compared(figures)
    models = [row for row in rows if row[0].endswith(" model")]
    if not models:
        return None
    others = [row for row in rows if not row[0].endswith(" model")]
    beside = f"best compressor {others[0][0]}: {number(round(others[0][1], 3))}" if others else models[0][0]
    return f"{models[0][1]:.3f}", beside
