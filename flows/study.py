"""The study of a sweep: its trials so far, what comes next, and that one process works on it."""

import contextlib
import fcntl
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import yaml
from prefect.settings import get_current_settings

from flows import graph, history, search, trial
from flows.search import Search
from stages.core.errors import HeadwaterError

_STOPPED = "stopped"  # mark of a trial that has no result because the sweep was stopped


class Study:
    """The trials of a sweep so far; made by :func:`opened`.

    Args:
        name: Of the study; with a number, that of a trial's experiment.
        wanted: What is searched, and how.
        study: Optuna's.
        folder: For what trials need while they run.
        copied: Paths that trials read and git does not track.
    """

    def __init__(self, name: str, wanted: Search, study: optuna.Study, folder: Path, copied: Sequence[str]) -> None:
        self.name, self.search, self.study, self.folder, self.copied = name, wanted, study, folder, copied
        self._drawing = threading.Lock()

    def missing(self) -> int:
        """Trials that are not yet made."""
        return max(search.size(self.search) - len(self._made()), 0)

    def draw(self) -> tuple[optuna.Trial, dict[str, Any]]:
        """The next trial and its parameters."""
        with self._drawing:
            under_way = self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
            self.study.sampler = search.sampler(self.search, len(self._made()) + len(under_way))
            drawn = self.study.ask()
            return drawn, search.drawn(self.search, drawn)

    def close(self, drawn: optuna.Trial, result: float | None, state: optuna.trial.TrialState) -> None:
        """Record how a trial ended."""
        self.study.tell(drawn, result, state=state)

    def again(self, number: int) -> None:
        """Mark a trial as stopped, and have its parameters tried again."""
        stopped = self.study.get_trials(deepcopy=False)[number]
        storage = self.study._storage
        storage.set_trial_user_attr(stopped._trial_id, _STOPPED, True)
        storage.set_trial_state_values(stopped._trial_id, optuna.trial.TrialState.FAIL)
        self.study.enqueue_trial(stopped.params)

    def results(self) -> list[optuna.trial.FrozenTrial]:
        """The trials with a result, the best first."""
        done = self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        sign = 1 if self.search.direction == "minimize" else -1
        return sorted(done, key=lambda one: (sign * one.values[0], one.number))

    def pruned(self) -> list[optuna.trial.FrozenTrial]:
        """The trials that were ended early, those that came furthest first."""
        ended = self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.PRUNED,))
        return sorted(ended, key=lambda one: (-(one.last_step or 0), one.number))

    def importance(self) -> dict[str, float]:
        """The share of each parameter in how results differ (PED-ANOVA, arXiv:2304.10255); empty with too few."""
        results = self.results()
        if len(self.search.parameters) < 2 or len({one.values[0] for one in results}) < 4:
            return {}
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        shares: dict[str, float] = optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        return shares

    def experiment(self, number: int) -> str:
        """The name of a trial's experiment."""
        return f"{self.name}-{number}"

    def _made(self) -> list[optuna.trial.FrozenTrial]:
        finished = (one for one in self.study.get_trials(deepcopy=False) if one.state.is_finished())
        return [one for one in finished if _STOPPED not in one.user_attrs]


@contextlib.contextmanager
def opened(file: Path, storage: str | None) -> Iterator[Study]:
    """The study of a sweep file, begun or continued, for this process alone.

    Its name tells of the file and of what trials are built from: another search, or other code, is another study.

    Args:
        file: Of the sweep.
        storage: URL of a database, such as postgresql://…; None takes one in the project.

    Raises:
        HeadwaterError: the file is wrong, something is not committed, another process is at it, or there is no
            such database.
    """
    wanted = search.load(file)
    pipeline = yaml.safe_load(Path("dvc.yaml").read_text("utf-8"))["stages"]
    if wanted.target not in pipeline:
        raise HeadwaterError(f"{file}: target: dvc.yaml has no stage {wanted.target!r}")
    history.require_clean("a sweep")
    sources = _sources(pipeline.values())
    name = f"{file.stem}-{search.identity(wanted, history.identity(['params.yaml', 'dvc.yaml', *sources]))}"
    folder = get_current_settings().home / "sweeps" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however that ends
        except BlockingIOError:
            raise HeadwaterError(f"{file}: this sweep is running already; wait for it, or stop it") from None
        trials = _study(name, wanted, storage or f"sqlite:///{folder / 'study.db'}")
        study = Study(name, wanted, trials, folder, history.untracked(sources))
        graph.mend_list_of_locks(trial.EXPERIMENTS)
        trial.forget(f"{name}-*")
        for left in study.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            study.again(left.number)
        if wanted.sampler == "grid":
            for combination in search.combinations(wanted):
                study.study.enqueue_trial(combination, skip_if_exists=True)
        yield study


def _sources(stages: Collection[Any]) -> list[str]:
    """Paths that stages read and none of them writes."""
    read = {path for stage in stages for path in stage.get("deps", [])}
    outs = [out for stage in stages for out in stage.get("outs", [])]
    return sorted(read - {out if isinstance(out, str) else next(iter(out)) for out in outs})


def _study(name: str, wanted: Search, storage: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        engine = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}
        database = optuna.storages.RDBStorage(storage, engine_kwargs=engine)
    except (ImportError, OSError, ValueError, optuna.exceptions.StorageInternalError) as error:
        raise HeadwaterError(f"{storage}: no such database: {' '.join(str(error).split())}") from None
    return optuna.create_study(
        storage=database,
        study_name=name,
        direction=wanted.direction,
        pruner=search.pruner(wanted),
        load_if_exists=True,
    )
