"""Search the best parameters: a study of Optuna's as a Prefect flow, each trial an experiment of DVC's.

A sweep file says what is searched (flows/search.py; infra/sweeps/ has examples). Trials run side by side in folders of
their own and share the work area, so that what two have in common is built once. A sweep that was stopped goes on where
it was: what was under way is tried again. What it found is a page beside the study (flows/findings.py), and
`python -m flows.apply` takes over the parameters and results of any trial.
"""

import argparse
import functools
import logging
import sys
from pathlib import Path
from typing import Any

import optuna
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import artifacts, command, findings, history, processes, search, server, trial
from flows.running import Commands, has_cause
from flows.search import Search
from flows.study import Study, opened
from stages.core.errors import HeadwaterError

_NOTHING_LEFT = "NothingLeft"  # of a trial that another machine has made meanwhile


@flow(name="sweep", flow_run_name=lambda: Path(flow_run.parameters["file"]).stem, persist_result=False)
def sweep(file: str, parallel: int = 1, storage: str | None = None) -> State:
    """Try parameters until the sweep has as many trials as its file asks for.

    Args:
        file: The sweep file, such as infra/sweeps/learning_rate.yaml.
        parallel: Trials at the same time.
        storage: URL of the study's database; none takes one in the project.
    """
    processes.claim()
    try:
        with opened(Path(file).stem, search.load(Path(file)), storage) as study:
            return tried(study, parallel)
    except HeadwaterError as error:
        return Failed(message=str(error))


def tried(study: Study, parallel: int) -> State:
    """Make the trials that a study lacks, and show what it found; how that ended."""
    commands = Commands()
    logging.getLogger("prefect.task_runs").addFilter(has_cause)
    with ThreadPoolTaskRunner(max_workers=parallel) as runner:
        work = task(functools.partial(_try, study, commands), name="trial", cache_policy=NO_CACHE, persist_result=False)
        runs = [work.with_options(task_run_name=f"trial {number}") for number in range(study.missing())]
        futures = [runner.submit(one, parameters={}) for one in runs]
        try:
            wait(futures)
        except (KeyboardInterrupt, TerminationSignal) as signal:
            commands.stop()
            wait(futures)
            if isinstance(signal, TerminationSignal):
                raise
    hopeless = [one.state.message for one in futures if one.state.name == trial.NoSuchMetricError.__name__]
    if hopeless:
        return Failed(message=str(hopeless[0]))
    if study.results():
        _show(study)
    return _outcome(study, bool(futures), commands.stopped)


def _try(study: Study, commands: Commands) -> State:
    """One trial; the work of one task."""
    if commands.stopped:
        return Cancelled(message="not begun")
    next_one = study.draw()
    if next_one is None:
        return Completed(name=_NOTHING_LEFT, message="others have made the last one")
    drawn, values = next_one
    get_run_logger().info("trial %d: %s", drawn.number, ", ".join(search.overrides(values)))
    try:
        built = _built(study, drawn, values, commands)
    except HeadwaterError as failure:
        if commands.stopped:
            study.again(drawn.number)
            return Cancelled(message="stopped; it is tried again by the next run")
        study.fail(drawn)
        if isinstance(failure, trial.NoSuchMetricError):
            commands.stop()
            return Failed(name=trial.NoSuchMetricError.__name__, message=str(failure))
        return Failed(message=str(failure))
    if built is None:
        study.prune(drawn)
        return Completed(name="Pruned", message="others were better at this step")
    means = study.close(drawn, built)
    shown = ", ".join(f"{name} {mean:.6g}" for name, mean in zip(study.search.objectives, means, strict=True))
    return Completed(message=shown)


def _built(study: Study, drawn: optuna.Trial, values: dict[str, Any], commands: Commands) -> list[list[float]] | None:
    """The results of each build of a trial; None where the first was ended early."""
    wanted, found = study.search, []
    for number, one in enumerate(search.builds(wanted, values)):
        name = study.experiment(drawn.number, number)
        asked = trial.Trial(name, wanted.target, tuple(wanted.objectives), one, study.folder, study.copied)
        if wanted.pruning and number == 0:
            judge = functools.partial(_judge, wanted, drawn)
            results = trial.run(asked, commands, wanted.pruning.figure, judge)
        else:
            results = trial.run(asked, commands)
        if results is None:
            return None
        found.append(results)
    return found


def _judge(wanted: Search, drawn: optuna.Trial, step: int, value: float) -> bool:
    """Whether a trial is to end after a step; only some steps are looked at, for each is a write to the database."""
    assert wanted.pruning is not None
    due = wanted.pruning.first
    while due < step:
        due *= wanted.pruning.factor
    if due != step:
        return False
    drawn.report(value, step)
    return drawn.should_prune()


def _show(study: Study) -> None:
    """Leave the trials as a table in the UI, and what they found as a page."""
    rows = [_row(study, one) for one in [*study.results(), *study.pruned()]]
    page = findings.write(study)
    take_over = f"python -m flows.apply {rows[0]['trial']} takes it over"
    found: list[artifacts.Found] = [
        ("trials", rows, f"Trials, the best first; {take_over}; charts: {page}"),
    ]
    artifacts.publish(f"sweep-{study.name}", found)


def _row(study: Study, made: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """What is shown of a trial."""
    pruned = made.state == optuna.trial.TrialState.PRUNED
    return {
        "trial": study.experiment(made.number),
        **{name: "" if pruned else made.values[place] for place, name in enumerate(study.search.objectives)},
        "ended": f"at step {made.last_step}" if pruned else "",
        **findings.cells(findings.drawn(study, made)),
    }


def _outcome(study: Study, any_made: bool, stopped: bool) -> State:
    if stopped:
        return Cancelled(message="stopped; run it again to continue")
    best = study.best()
    if not best:
        return Failed(message="no trial has a result; the tasks say why")
    values = ", ".join(f"{name} {findings.shown(value)}" for name, value in findings.drawn(study, best[0]).items())
    pairs = zip(study.search.objectives, best[0].values, strict=True)
    figures = ", ".join(f"{name} {value:.6g}" for name, value in pairs)
    others = f", and {len(best) - 1} more that none beats" if len(best) > 1 else ""
    take_over = f"python -m flows.apply {study.experiment(best[0].number)}"
    message = f"{figures} with {values}{others}: {take_over}; charts: {study.folder / findings.FILE}"
    return Completed(message=message) if any_made else Completed(name="Cached", message=message)


@command.explained
def main() -> int:
    """The command line of ``python -m flows.sweep``; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m flows.sweep", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("file", type=Path, help="sweep file, such as infra/sweeps/learning_rate.yaml")
    parser.add_argument("--parallel", type=int, default=1, help="trials at the same time (default: 1)")
    parser.add_argument("--storage", help="URL of the study's database (default: SQLite in the project)")
    arguments = parser.parse_args()
    search.load(arguments.file)
    history.require_clean("a sweep")
    with server.used():
        return command.ended(sweep(str(arguments.file), arguments.parallel, arguments.storage, return_state=True))


if __name__ == "__main__":
    sys.exit(main())
