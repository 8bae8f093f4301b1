"""The study of a sweep: its trials so far, what comes next, and that one process of this folder works on it."""

import contextlib
import datetime
import fcntl
import platform
import re
import threading
import warnings
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import yaml
from prefect.settings import get_current_settings

from flows import database, graph, history, search, trial
from flows.search import Search
from stages.core.errors import HeadwaterError
from stages.core.params import nearest

_STOPPED = "stopped"  # mark of a trial that has no result because the sweep was stopped
_OWNER = "owner"  # mark with the folder that a trial is built from: others may work on the same study
_ERROR = "error"  # mark with the standard error of each result, where a trial repeats
_BEGUN = datetime.timedelta(minutes=1)  # for a trial to be given its owner

_COMPLETE, _PRUNED = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED
_FAILED, _RUNNING = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.RUNNING


class Study:
    """The trials of a sweep so far; made by :func:`opened`.

    Args:
        name: Of the study; with a number, that of a trial's experiment.
        wanted: What is searched, and how.
        study: Optuna's.
        folder: For what trials need while they run, and for what the sweep found.
        copied: Paths that trials read and git does not track.
    """

    def __init__(self, name: str, wanted: Search, study: optuna.Study, folder: Path, copied: Sequence[str]) -> None:
        self.name, self.search, self.study, self.folder, self.copied = name, wanted, study, folder, copied
        self.owner = f"{platform.node()}:{Path.cwd()}"
        self._drawing = threading.Lock()

    def missing(self) -> int:
        """Trials that are neither made nor under way."""
        return max(search.size(self.search) - len(self._made()) - len(self._trials(_RUNNING)), 0)

    def draw(self) -> tuple[optuna.Trial, dict[str, Any]] | None:
        """The next trial and its parameters; None where others have made the last one meanwhile."""
        with self._drawing:
            if not self.missing():
                return None
            number = len(self._made()) + len(self._trials(_RUNNING))
            self.study.sampler = search.sampler(self.search, number)
            drawn = self.study.ask()
            drawn.set_user_attr(_OWNER, self.owner)
            if self.search.sampler == "grid":
                # A trial that is tried again has its parameters; the others go through the grid in order.
                before = self.study.get_trials(deepcopy=False)[: drawn.number]
                place = sum("fixed_params" not in one.system_attrs for one in before)
                self.study.sampler = search.Taking(self.search, place)
            return drawn, search.drawn(self.search, drawn)

    def close(self, drawn: optuna.Trial, built: Sequence[Sequence[float]]) -> list[float]:
        """Record the results of a trial, given those of each of its builds; the means, in order of the objectives."""
        columns = list(zip(*built, strict=True))
        means = [sum(column) / len(column) for column in columns]
        if len(built) > 1:
            errors = [_standard_error(column, mean) for column, mean in zip(columns, means, strict=True)]
            drawn.set_user_attr(_ERROR, errors)
        self.study.tell(drawn, means)
        return means

    def prune(self, drawn: optuna.Trial) -> None:
        """Record that a trial was ended early."""
        self.study.tell(drawn, state=_PRUNED)

    def fail(self, drawn: optuna.Trial) -> None:
        """Record that a trial has no result."""
        self.study.tell(drawn, state=_FAILED)

    def again(self, number: int) -> None:
        """Mark a trial as stopped, and have its parameters tried again."""
        stopped = self.study.get_trials(deepcopy=False)[number]
        storage = self.study._storage
        storage.set_trial_user_attr(stopped._trial_id, _STOPPED, True)
        storage.set_trial_state_values(stopped._trial_id, _FAILED)
        self.study.enqueue_trial(stopped.params)

    def reclaim(self) -> None:
        """Have those trials tried again that a process of this folder left, however it ended."""
        for left in self._trials(_RUNNING):
            begun = left.datetime_start or datetime.datetime.min
            ownerless = _OWNER not in left.user_attrs and datetime.datetime.now() - begun > _BEGUN
            if ownerless or left.user_attrs.get(_OWNER) == self.owner:
                self.again(left.number)

    def results(self) -> list[optuna.trial.FrozenTrial]:
        """The trials with a result: the best first, or, of several objectives, those that no other beats in all."""
        front = {one.number for one in self.study.best_trials} if len(self.search.objectives) > 1 else set()
        sign = 1 if next(iter(self.search.objectives.values())) == "minimize" else -1
        done = self._trials(_COMPLETE)
        return sorted(done, key=lambda one: (one.number not in front, sign * one.values[0], one.number))

    def best(self) -> list[optuna.trial.FrozenTrial]:
        """The best trial, or, of several objectives, all that no other beats in all of them (the Pareto front)."""
        results = self.results()
        if len(self.search.objectives) == 1:
            return results[:1]
        front = {one.number for one in self.study.best_trials}
        return [one for one in results if one.number in front]

    def pruned(self) -> list[optuna.trial.FrozenTrial]:
        """The trials that were ended early, those that came furthest first."""
        return sorted(self._trials(_PRUNED), key=lambda one: (-(one.last_step or 0), one.number))

    def error(self, made: optuna.trial.FrozenTrial, objective: int) -> float | None:
        """The standard error of a result over the builds of its trial; None where it was built once."""
        errors = made.user_attrs.get(_ERROR)
        return errors[objective] if errors else None

    def importance(self, objective: int) -> dict[str, float]:
        """The share of each parameter in how good a result is (PED-ANOVA, arXiv:2304.10255); empty with too few."""
        sign = 1 if list(self.search.objectives.values())[objective] == "minimize" else -1
        if len(self.search.parameters) < 2 or len({one.values[objective] for one in self.results()}) < 4:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that low targets are good, which ours are
            shares: dict[str, float] = optuna.importance.get_param_importances(
                self.study, evaluator=evaluator, target=lambda one: sign * one.values[objective]
            )
        return shares

    def experiment(self, number: int, build: int = 0) -> str:
        """The name of a trial's experiment; of a trial that repeats, that of one of its builds."""
        return f"{self.name}-{number}" if self.search.repeats is None else f"{self.name}-{number}-{build}"

    def _made(self) -> list[optuna.trial.FrozenTrial]:
        finished = (one for one in self.study.get_trials(deepcopy=False) if one.state.is_finished())
        return [one for one in finished if _STOPPED not in one.user_attrs]

    def _trials(self, state: optuna.trial.TrialState) -> list[optuna.trial.FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(state,))


@contextlib.contextmanager
def opened(label: str, wanted: Search, storage: str | None) -> Iterator[Study]:
    """The study of a sweep, begun or continued; in this folder, for this process alone.

    Its name tells of the sweep and of what trials are built from: another search, or other code, is another study.

    Args:
        label: What the name begins with.
        wanted: What is searched, and how.
        storage: URL of a database, such as postgresql://user@host/name; None takes one in the project.

    Raises:
        HeadwaterError: the search does not fit the graph, something is not committed, another process is at it, or
            there is no such database.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", label):
        raise HeadwaterError(f"{label}: call the file so that its name has letters, digits, dots, dashes and _ only")
    pipeline = yaml.safe_load(Path("dvc.yaml").read_text("utf-8"))["stages"]
    _check_stages(wanted, label)
    history.require_clean("a sweep")
    sources = _sources(pipeline.values())
    name = f"{label}-{search.identity(wanted, history.identity(['params.yaml', 'dvc.yaml', *sources]))}"
    folder = get_current_settings().home / "sweeps" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however that ends
        except BlockingIOError:
            raise HeadwaterError(f"{label}: this sweep is running already; wait for it, or stop it") from None
        with database.opened(storage or f"sqlite:///{folder / 'study.db'}") as kept:
            study = Study(name, wanted, _study(name, wanted, kept), folder, history.untracked(sources))
            graph.mend_list_of_locks(trial.EXPERIMENTS)
            trial.forget(f"{name}-*")
            study.reclaim()
            yield study


def _check_stages(wanted: Search, label: str) -> None:
    """Check that what is compared is measured on the way to the target, and not left from an earlier build."""
    built = [stage.name for stage in graph.read([wanted.target])]
    for objective in wanted.objectives:
        stage = objective.partition(".")[0]
        if stage not in built:
            raise HeadwaterError(
                f"{label}: objectives: {objective}: target {wanted.target} builds no {stage}{nearest(stage, built)}"
            )


def _sources(stages: Collection[Any]) -> list[str]:
    """Paths that stages read and none of them writes."""
    read = {path for stage in stages for path in stage.get("deps", [])}
    outs = [out for stage in stages for out in stage.get("outs", [])]
    return sorted(read - {out if isinstance(out, str) else next(iter(out)) for out in outs})


def _study(name: str, wanted: Search, kept: optuna.storages.RDBStorage) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=kept,
        study_name=name,
        directions=list(wanted.objectives.values()),
        pruner=search.pruner(wanted),
        load_if_exists=True,
    )


def _standard_error(values: Sequence[float], mean: float) -> float:
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return float((variance / len(values)) ** 0.5)
