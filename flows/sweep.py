"""Search the best parameters: a study of Optuna's as a Prefect flow, each trial an experiment of DVC's.

A sweep file says what is searched (flows/search.py; infra/sweeps/ has examples). Trials run side by side in folders of
their own and share the work area, so that what two have in common is built once. A sweep that was stopped goes on where
it was: what was under way is tried again. `dvc exp apply` takes over the parameters and results of any trial.
"""

import argparse
import csv
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

from flows import artifacts, charts, history, search, server, trial
from flows.build import Commands, has_cause
from flows.graph import Plot
from flows.search import Search
from flows.study import Study, opened
from stages.core.errors import HeadwaterError


@flow(name="sweep", flow_run_name=lambda: Path(flow_run.parameters["file"]).stem, persist_result=False)
def sweep(file: str, parallel: int = 1, storage: str | None = None) -> State:
    """Try parameters until the sweep has as many trials as its file asks for.

    Args:
        file: The sweep file, such as infra/sweeps/learning_rate.yaml.
        parallel: Trials at the same time.
        storage: URL of the study's database; none takes one in the project.
    """
    commands = Commands()
    logging.getLogger("prefect.task_runs").addFilter(has_cause)
    try:
        with opened(Path(file), storage) as study, ThreadPoolTaskRunner(max_workers=parallel) as runner:
            work = task(
                functools.partial(_try, study, commands),
                name="trial",
                cache_policy=NO_CACHE,
                persist_result=False,
            )
            runs = [work.with_options(task_run_name=f"trial {number}") for number in range(study.missing())]
            futures = [runner.submit(one, parameters={}) for one in runs]
            try:
                wait(futures)
            except (KeyboardInterrupt, TerminationSignal) as signal:
                commands.stop()
                wait(futures)
                if isinstance(signal, TerminationSignal):
                    raise
            _show(study)
            return _outcome(study, bool(futures), commands.stopped)
    except HeadwaterError as error:
        return Failed(message=str(error))


def _try(study: Study, commands: Commands) -> State:
    """One trial; the work of one task."""
    if commands.stopped:
        return Cancelled(message="not begun")
    drawn, values = study.draw()
    name = study.experiment(drawn.number)
    get_run_logger().info("%s: %s", name, ", ".join(search.overrides(values)))
    wanted = study.search
    one = trial.Trial(name, wanted.target, wanted.metric, values, study.folder, study.copied)
    figure = wanted.pruning.figure if wanted.pruning else None
    try:
        result = trial.run(one, commands, figure, functools.partial(_judge, wanted, drawn))
    except HeadwaterError as failure:
        if commands.stopped:
            study.again(drawn.number)
            return Cancelled(message="stopped; it is tried again by the next run")
        study.close(drawn, None, optuna.trial.TrialState.FAIL)
        return Failed(message=str(failure))
    if result is None:
        study.close(drawn, None, optuna.trial.TrialState.PRUNED)
        return Completed(name="Pruned", message="others were better at this step")
    study.close(drawn, result, optuna.trial.TrialState.COMPLETE)
    return Completed(message=f"{wanted.metric} {result:.6g}")


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
    """Leave the trials as a table, and what they found as charts."""
    metric = study.search.metric
    results = study.results()
    if not results:
        return
    rows = [_row(study, one) for one in [*results, *study.pruned()]]
    shares = [{"share": share, "parameter": name} for name, share in study.importance().items()]
    files = {"trials": rows, "importance": shares}
    for name, table in files.items():
        with (study.folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(table[0]) if table else [])
            writer.writeheader()
            writer.writerows(table)
    plots = [Plot("best", study.folder / "trials.csv", metric, "trial", f"{metric}, the best first", "", "", True)]
    if shares:
        plots.append(Plot("share", study.folder / "importance.csv", "share", "parameter", "Importance", "", "", True))
    images = [f"![{artifacts.escape(plot.title)}]({image})" for plot in plots if (image := charts.image(plot))]
    found: list[artifacts.Found] = [
        ("trials", rows, f"Trials, the best first; dvc exp apply {rows[0]['trial']} takes it over"),
        ("charts", "\n\n".join(images), f"What {study.name} found"),
    ]
    artifacts.publish(f"sweep-{study.name}", found)


def _row(study: Study, made: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """What is shown of a trial."""
    drawn = {name: artifacts.escape(value) if isinstance(value, str) else value for name, value in made.params.items()}
    pruned = made.state == optuna.trial.TrialState.PRUNED
    return {
        "trial": study.experiment(made.number),
        study.search.metric: "" if pruned else made.value,
        "ended": f"at step {made.last_step}" if pruned else "",
        **{name: drawn[name] for name in study.search.parameters},
    }


def _outcome(study: Study, any_made: bool, stopped: bool) -> State:
    if stopped:
        return Cancelled(message="stopped; run it again to continue")
    results = study.results()
    if not results:
        return Failed(message="no trial has a result; the tasks say why")
    best = results[0]
    found = ", ".join(f"{name} {value}" for name, value in best.params.items())
    message = f"{study.search.metric} {best.value:.6g} with {found}: dvc exp apply {study.experiment(best.number)}"
    return Completed(message=message) if any_made else Completed(name="Cached", message=message)


def main() -> int:
    """The command line of ``python -m flows.sweep``; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m flows.sweep", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("file", type=Path, help="sweep file, such as infra/sweeps/learning_rate.yaml")
    parser.add_argument("--parallel", type=int, default=1, help="trials at the same time (default: 1)")
    parser.add_argument("--storage", help="URL of the study's database (default: SQLite in the project)")
    arguments = parser.parse_args()
    try:
        search.load(arguments.file)
        history.require_clean("a sweep")
        with server.used():
            state = sweep(str(arguments.file), arguments.parallel, arguments.storage, return_state=True)
    except HeadwaterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(state.message if state.is_completed() else f"error: {state.message}", file=sys.stderr)
    return 0 if state.is_completed() else 130 if state.is_cancelled() else 1


if __name__ == "__main__":
    sys.exit(main())
