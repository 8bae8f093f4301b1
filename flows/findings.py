"""What a sweep found, as one page beside its study: the trials, what matters, and what is given up for what."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from markupsafe import Markup

from flows import artifacts
from flows.scatter import Axis, Points, scatter
from flows.search import Range
from flows.study import Study
from stages.core.untrusted import visible
from stages.release import charts, page

FILE = "index.html"


def write(study: Study) -> Path:
    """Write the page; its path. The study has a result."""
    objectives = list(study.search.objectives)
    sections = {
        "name": study.name,
        "objectives": [(name, study.search.objectives[name]) for name in objectives],
        "parameters": list(study.search.parameters),
        "best": [_row(study, one) for one in study.best()],
        "trials": [_row(study, one) for one in [*study.results(), *study.pruned()]],
        "fixed": [(name, shown(value)) for name, value in study.search.fixed.items()],
        "repeats": study.search.repeats and (study.search.repeats.parameter, len(study.search.repeats.values)),
        "fronts": [
            (objectives[first], objectives[second], _front(study, first, second))
            for first, second in itertools.combinations(range(len(objectives)), 2)
        ],
        "found": [_found(study, number) for number in range(len(objectives))],
    }
    path = study.folder / FILE
    path.write_text(page.styled("templates/sweep.html", sections), "utf-8")
    return path


def shown(value: Any) -> str:
    """A parameter's value in the words of params.yaml, any text in it made visible."""
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def drawn(study: Study, made: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """What was searched and what a trial had of it; choices are kept as JSON."""
    spaces = study.search.parameters
    return {
        name: made.params[name] if isinstance(spaces[name], Range) else json.loads(made.params[name])
        for name in spaces
        if name in made.params
    }


def cells(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as cells of a table in the UI."""
    return {
        name: value if isinstance(value, int | float) else artifacts.escape(shown(value))
        for name, value in values.items()
    }


def _row(study: Study, made: optuna.trial.FrozenTrial) -> dict[str, Any]:
    pruned = made.state == optuna.trial.TrialState.PRUNED
    results = [] if pruned else [_figure(study, made, number) for number in range(len(study.search.objectives))]
    values = drawn(study, made)
    return {
        "trial": study.experiment(made.number).removeprefix(f"{study.name}-"),
        "results": results or [f"ended at step {made.last_step}", *[""] * (len(study.search.objectives) - 1)],
        "values": [_short(values[name]) if name in values else "" for name in study.search.parameters],
    }


def _figure(study: Study, made: optuna.trial.FrozenTrial, objective: int) -> str:
    error = study.error(made, objective)
    value = made.values[objective]
    shown = f"{value:,.0f}" if value.is_integer() else f"{value:.6g}"
    return shown + (f" ± {error:.2g}" if error else "")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else shown(value)


def _note(study: Study, made: optuna.trial.FrozenTrial) -> str:
    values = ", ".join(f"{name} {_short(value)}" for name, value in drawn(study, made).items())
    figures = ", ".join(_figure(study, made, number) for number in range(len(study.search.objectives)))
    return f"trial {made.number}: {visible(figures)} with {values}"


def _found(study: Study, objective: int) -> dict[str, Any]:
    """Of one objective: its course over the trials, the share of each parameter, and a chart against each."""
    name = list(study.search.objectives)[objective]
    shares = study.importance(objective)
    bars = [charts.Bar(one, [(share, "s1", f"{one}: {share:.2f}")], f"{share:.2f}") for one, share in shares.items()]
    return {
        "name": name,
        "course": _course(study, objective, name),
        "importance": charts.bars(f"Importance for {name}", bars, label_width=330) if bars else None,
        "slices": [_slice(study, objective, parameter) for parameter in study.search.parameters],
    }


def _course(study: Study, objective: int, name: str) -> Markup:
    made = sorted(study.results(), key=lambda one: one.number)
    y = [one.values[objective] for one in made]
    pick = min if study.search.objectives[name] == "minimize" else max
    x = [float(one.number) for one in made]
    notes = [_note(study, one) for one in made]
    best = Points(x, list(itertools.accumulate(y, pick)), "s3")
    return scatter(f"{name} by trial", Axis("trial"), Axis(name), [best, Points(x, y, "s1", notes)])


def _slice(study: Study, objective: int, parameter: str) -> Markup:
    made = [one for one in study.results() if parameter in one.params]
    space = study.search.parameters[parameter]
    y = [one.values[objective] for one in made]
    notes = [_note(study, one) for one in made]
    if isinstance(space, Range):
        axis = Axis(parameter, log=space.scale == "log")
        x = [float(one.params[parameter]) for one in made]
    else:
        names = [json.dumps(value) for value in space.values]
        axis = Axis(parameter, names=[shown(value) for value in space.values])
        x = [float(names.index(one.params[parameter])) for one in made]
    name = list(study.search.objectives)[objective]
    return scatter(f"{name} by {parameter}", axis, Axis(name), [Points(x, y, "s1", notes)])


def _front(study: Study, first: int, second: int) -> Markup:
    """What is given up of one objective for another: the trials that no other beats, joined, above the others."""
    names = list(study.search.objectives)
    best = {one.number for one in study.best()}
    front = sorted((one for one in study.results() if one.number in best), key=lambda one: one.values[first])
    others = [one for one in study.results() if one.number not in best]
    groups = [
        _points(front, first, second, "s1", []),
        _points(others, first, second, "muted", [_note(study, one) for one in others]),
        _points(front, first, second, "s1", [_note(study, one) for one in front]),
    ]
    drawn = [one for one in groups if one.x]
    return scatter(f"{names[second]} against {names[first]}", Axis(names[first]), Axis(names[second]), drawn)


def _points(
    made: Sequence[optuna.trial.FrozenTrial], first: int, second: int, style: str, notes: Sequence[str]
) -> Points:
    return Points([one.values[first] for one in made], [one.values[second] for one in made], style, notes)
