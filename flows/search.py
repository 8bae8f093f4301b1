"""A sweep file: what is searched for the best value of which metrics, and how."""

import dataclasses
import hashlib
import itertools
import json
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import optuna
from pydantic import PositiveInt

from stages.core.errors import HeadwaterError
from stages.core.params import FILE, as_json, check, nearest, params, read

Value = Any
"""Of a parameter: a number, a string, or whatever else params.yaml can hold."""


@params
class Range:
    """Numbers between two bounds; whole ones if both bounds are."""

    low: int | float
    high: int | float
    scale: Literal["linear", "log"]


@params
class Choice:
    """Some values, of any kind."""

    values: tuple[Any, ...]


@params
class Pruning:
    """Successive halving (arXiv:1810.05934): a trial that is not among the best of those as far as it is ends."""

    figure: str
    """What is compared on the way, as a run that trains shows it, such as training/held_out_loss."""
    first: PositiveInt
    """Steps before a trial is compared for the first time; then after ``factor`` times as many, and so on."""
    factor: PositiveInt
    """One of so many goes on; at least 2."""


@params
class Repeats:
    """A trial is built once for each of several values, such as seeds or splits, and its result is their mean."""

    parameter: str
    """Dotted name in params.yaml."""
    values: tuple[Any, ...]
    """At least two."""


@params
class Search:
    """A sweep file, ``infra/sweeps/<name>.yaml``."""

    target: str
    """Stage that a trial ends with."""
    objectives: dict[str, Literal["minimize", "maximize"]]
    """What is compared, as <stage>.<name in its metrics>; of several, what no other trial beats in all of them."""
    sampler: Literal["tpe", "grid"]
    """Tree-structured Parzen estimator, which learns from the trials before; or every combination of ``values``."""
    seed: int
    trials: PositiveInt
    """How many there are in the end, those of earlier runs included."""
    pruning: Pruning | None
    """Needs a single objective; of a trial that repeats, the first build is looked at."""
    repeats: Repeats | None
    """Of every trial; None builds it once. Folds of the rows that are tuned on are `finetune.folds`."""
    fixed: dict[str, Any]
    """Parameters that are the same in every trial and differ from params.yaml."""
    parameters: dict[str, Range | Choice]
    """What is searched: dotted names in params.yaml."""


def load(file: Path) -> Search:
    """The sweep that a file describes.

    Raises:
        HeadwaterError: no such file, a key or value is wrong, or a parameter is not in params.yaml.
    """
    search = check(Search, read(file), where=str(file))
    require(search, str(file))
    return search


def require(search: Search, where: str) -> None:
    """Check what the types of a search do not say.

    Args:
        search: What is asked for.
        where: What an error begins with.

    Raises:
        HeadwaterError: a value is wrong, or a parameter is not in params.yaml.
    """
    values = read(FILE)
    for name in [*search.fixed, *search.parameters, *([search.repeats.parameter] if search.repeats else [])]:
        _require(name, values, where)
    _check_objectives(search, where)
    for name, space in search.parameters.items():
        _check_space(search, space, f"{where}: parameters.{name}")
    if search.pruning and search.pruning.factor < 2:
        raise HeadwaterError(f"{where}: pruning.factor must be at least 2")
    if search.repeats and len(search.repeats.values) < 2:
        raise HeadwaterError(f"{where}: repeats.values must be at least two, or repeats null")


def identity(search: Search, built_from: str) -> str:
    """Eight letters that two runs share whose trials can be compared; ``built_from`` names code, data and values."""
    asked = as_json(dataclasses.replace(search, trials=1))  # more trials are a longer run of the same sweep
    return hashlib.sha256(f"{asked} {built_from}".encode()).hexdigest()[:8]


def sampler(search: Search, number: int) -> optuna.samplers.BaseSampler:
    """What draws the parameters of the trial with this number: the same whenever the ones before it are the same."""
    # A trial that runs counts as a bad one, so that those at the same time are not all alike.
    return optuna.samplers.TPESampler(seed=search.seed * 1_000_003 + number, constant_liar=True)


class Taking(optuna.samplers.RandomSampler):
    """Gives a trial the combination at a place of the grid.

    Args:
        search: Whose grid.
        place: From 0; beyond the last it begins anew, as where two machines drew the last one at the same moment.
    """

    def __init__(self, search: Search, place: int) -> None:
        super().__init__(seed=search.seed)
        found = combinations(search)
        self._chosen = found[place % len(found)]

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """The value of a parameter; Optuna's word for a sampler that looks at no other one."""
        return self._chosen[param_name]


def pruner(search: Search) -> optuna.pruners.BasePruner:
    """What ends a trial early."""
    if search.pruning is None:
        return optuna.pruners.NopPruner()
    return optuna.pruners.SuccessiveHalvingPruner(
        min_resource=search.pruning.first, reduction_factor=search.pruning.factor
    )


def size(search: Search) -> int:
    """Trials that the sweep takes."""
    return search.trials if search.sampler == "tpe" else len(combinations(search))


def builds(search: Search, values: Mapping[str, Value]) -> list[dict[str, Value]]:
    """The parameters of each build of a trial."""
    if search.repeats is None:
        return [dict(values)]
    return [{**values, search.repeats.parameter: one} for one in search.repeats.values]


def drawn(search: Search, trial: optuna.Trial) -> dict[str, Value]:
    """The parameters of a trial, with those that are fixed."""
    return {**search.fixed, **{name: _draw(trial, name, space) for name, space in search.parameters.items()}}


def overrides(values: Mapping[str, Value]) -> Iterator[str]:
    """``values`` as ``dvc exp run --set-param`` takes them."""
    for name, value in values.items():
        yield f"{name}={_hydra(value)}"


def _draw(trial: optuna.Trial, name: str, space: Range | Choice) -> Value:
    if isinstance(space, Choice):  # as text, because a study holds no list
        return json.loads(trial.suggest_categorical(name, [json.dumps(value) for value in space.values]))
    if isinstance(space.low, int) and isinstance(space.high, int):
        return trial.suggest_int(name, space.low, space.high, log=space.scale == "log")
    return trial.suggest_float(name, space.low, space.high, log=space.scale == "log")


def combinations(search: Search) -> list[dict[str, str]]:
    """The parameters of a grid, as a study holds them: all of them, or as many by seed as there are trials."""
    spaces = {name: space.values for name, space in search.parameters.items() if isinstance(space, Choice)}
    found = [dict(zip(spaces, map(json.dumps, one), strict=True)) for one in itertools.product(*spaces.values())]
    random.Random(search.seed).shuffle(found)
    return found[: search.trials]


def _check_objectives(search: Search, where: str) -> None:
    if not search.objectives:
        raise HeadwaterError(f"{where}: objectives is empty; name a metric, such as {{pretrain.loss: minimize}}")
    for name in search.objectives:
        if not all(name.partition(".")):
            raise HeadwaterError(f"{where}: objectives: {name} must be <stage>.<name in its metrics>")
    if search.pruning and len(search.objectives) > 1:
        raise HeadwaterError(f"{where}: pruning compares one figure: set it to null, or name a single objective")


def _check_space(search: Search, space: Range | Choice, where: str) -> None:
    if isinstance(space, Choice):
        if not space.values:
            raise HeadwaterError(f"{where}.values is empty")
    elif search.sampler == "grid":
        raise HeadwaterError(f"{where}: a grid takes values, such as {{values: [{space.low}, {space.high}]}}")
    elif space.low >= space.high or (space.scale == "log" and space.low <= 0):
        raise HeadwaterError(f"{where}: low must be less than high, and more than 0 where the scale is log")


def _require(name: str, values: Any, where: str) -> None:
    for part in name.split("."):
        if not isinstance(values, dict) or part not in values:
            known = values if isinstance(values, dict) else ()
            raise HeadwaterError(f"{where}: {name} is not in {FILE}{nearest(part, known)}")
        values = values[part]


def _hydra(value: Value) -> str:
    """A value in the grammar of Hydra's overrides, whose keys have no quotes."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_hydra(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_hydra, value)) + "]"
    if isinstance(value, str):  # a backslash stands for itself but before a quote
        escaped = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), value)
        return f'"{escaped}"'
    return json.dumps(value)
