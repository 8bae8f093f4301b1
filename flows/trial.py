"""One build of a trial: an experiment of DVC's in a folder of its own, which `python -m flows.apply` takes over."""

import contextlib
import dataclasses
import json
import math
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from flows import artifacts, guard, history, search
from flows.running import Commands, reason
from stages.core.errors import HeadwaterError
from stages.core.params import nearest
from stages.core.runtime import profile

_LOOK = 0.5  # seconds between looks at the figures of a trial
EXPERIMENTS = Path(".dvc/tmp/exps")
"""Where DVC keeps what experiments need while they run."""

Judge = Callable[[int, float], bool]
"""Told a step and its figure; whether the trial is to end."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """What is built, and how it is known."""

    name: str
    """Of the experiment."""
    target: str
    """Stage that it ends with."""
    metrics: Sequence[str]
    """Its results, each as <stage>.<name>."""
    values: Mapping[str, Any]
    """Parameters that differ from params.yaml."""
    folder: Path
    """For what is needed while it runs."""
    copied: Sequence[str] = ()
    """Paths that git does not track and the experiment needs."""


class NoSuchMetricError(HeadwaterError):
    """A stage was built and did not measure what the sweep compares; no other trial would."""


def run(trial: Trial, commands: Commands, figure: str | None = None, judge: Judge | None = None) -> list[float] | None:
    """Build an experiment; its results, or None where the judge ended it early.

    Args:
        trial: What to build.
        commands: Runs it, and can stop it.
        figure: Of training, that ``judge`` is told.
        judge: Whether to end it early.

    Raises:
        NoSuchMetricError: the metrics have no such result.
        HeadwaterError: a stage failed, or a result is not finite.
    """
    scalars = trial.folder / f"{trial.name}.jsonl"
    scalars.unlink(missing_ok=True)
    settings = _profile(trial, scalars)
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "exp", "run", "--temp", "--name", trial.name]
    for path in trial.copied:
        command += ["--copy-paths", path]
    for override in search.overrides(trial.values):
        command += ["--set-param", override]
    for reference in references(trial.name):  # of a study that was deleted, and begins anew
        history.git("update-ref", "-d", reference)
    watch = _Watch(scalars, figure, judge) if figure and judge else None
    try:
        status, lines = commands.run(
            [*command, trial.target], {"HEADWATER_PROFILE": str(settings)}, watch.start if watch else None
        )
    finally:
        if watch:
            watch.end()
        settings.unlink()
        scalars.unlink(missing_ok=True)
        forget(trial.name)
    if watch and watch.pruned:
        return None
    if status:
        raise HeadwaterError(reason(trial.target, lines))
    return [result(trial.name, metric) for metric in trial.metrics]


def result(name: str, metric: str) -> float:
    """What an experiment measured.

    Raises:
        NoSuchMetricError: its metrics do not have it.
        HeadwaterError: it is not finite.
    """
    stage, _, dotted = metric.partition(".")
    found = references(name)
    text = history.shown(f"metrics/{stage}.json", found[0]) if found else None
    figures = dict(artifacts.flat(json.loads(text or "{}")))
    if dotted not in figures:
        raise NoSuchMetricError(f"metrics/{stage}.json has no number {dotted}{nearest(dotted, figures)}")
    if not math.isfinite(figures[dotted]):
        raise HeadwaterError(f"metrics/{stage}.json: {dotted} is {figures[dotted]}")
    return float(figures[dotted])


def references(name: str) -> list[str]:
    """Git's references to an experiment of DVC's; none where there is none of this name."""
    return history.git("for-each-ref", "--format=%(refname)", f"refs/exps/**/{name}").split()


def forget(name: str) -> None:
    """Remove the folders that experiments of this name, or a pattern of names, ran in; DVC leaves those of one killed.

    None of them may be running.
    """
    for record in EXPERIMENTS.glob("run/*/*.run"):
        with contextlib.suppress(ValueError, FileNotFoundError):  # cut off by the kill, or removed by DVC just now
            info = json.loads(record.read_bytes())
            if Path(info["name"] or "").match(name):
                shutil.rmtree(info["root_dir"], ignore_errors=True)
                shutil.rmtree(record.parent, ignore_errors=True)


def _profile(trial: Trial, scalars: Path) -> Path:
    """This machine's profile for a trial: it shares the work area with all others, and shows its figures."""
    settings = dataclasses.asdict(profile())
    settings["work"] = str(profile().work.resolve())
    settings["watching"]["scalars"] = str(scalars.resolve())
    path = trial.folder / f"{trial.name}.yaml"
    path.write_text(yaml.safe_dump(settings), "utf-8")
    return path.resolve()


class _Watch:
    """Reads the figures that a trial shows while it trains, and stops it when the judge says so."""

    def __init__(self, scalars: Path, figure: str, judge: Judge) -> None:
        self.pruned = False
        self._scalars, self._figure, self._judge = scalars, figure, judge
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._place = 0

    def start(self, process: guard.Guarded) -> None:
        self._thread = threading.Thread(target=self._look, args=(process,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()

    def _look(self, process: guard.Guarded) -> None:
        while not self._ended.wait(_LOOK):
            if any(self._judge(step, value) for step, value in self._new()):
                self.pruned = True
                guard.stop(process)
                return

    def _new(self) -> list[tuple[int, float]]:
        """Steps and figures since the last look; a line that is not whole yet is left for the next."""
        try:
            with self._scalars.open("rb") as file:
                file.seek(self._place)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._place += len(whole)
        shown = [json.loads(line) for line in whole.splitlines()]
        return [(row["step"], row[self._figure]) for row in shown if self._figure in row]
