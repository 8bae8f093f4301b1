"""Promote the build of the last commit if it is better than the champion beyond error and passes the safety gates.

infra/promotion.yaml says what is compared and which gates there are. Both builds' evaluations are compared question by
question (stages/scoring/comparison.py); the champion's come from DVC's cache. ``--rollback`` makes the version before
the champion again, ``--list`` shows what was promoted, when and why, ``--record`` keeps the champion's answers in
infra/promoted, beside which the report sets a build.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from dvc.exceptions import DvcException
from dvc.repo import Repo
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import artifacts, command, graph, history, processes, server
from flows.registry import STAGE, Promotion, Registry
from stages.core.errors import HeadwaterError
from stages.core.params import check, params, read
from stages.release import promoted

RULES = Path("infra/promotion.yaml")
RECORD = Path("infra/promoted")


@params
class Rules:
    """infra/promotion.yaml."""

    artifact: str
    """Name under ``artifacts`` in dvc.yaml."""
    results: Path
    """Folder of the evaluation's results."""
    model: str
    """Whose results: ``<model>.parquet`` and ``<model>_questions.parquet``."""
    better: tuple[str, ...]
    """Figures, as <task>.<metric>, of which at least one is better and none worse."""
    not_worse: tuple[str, ...]
    """Figures of which none is worse."""
    at_most: dict[str, float]
    """Metrics, as <stage>.<name>, and the largest value that passes."""
    at_least: dict[str, float]
    """The same with the smallest."""


@flow(name="promote", flow_run_name="last commit", persist_result=False)
def promote() -> State:
    """Make the build of the last commit the champion, if it is one; ends as Promoted, Kept or Cached."""
    processes.claim()
    try:
        return _promote(check(Rules, read(RULES), where=str(RULES)))
    except HeadwaterError as error:
        return Failed(message=str(error))


def _promote(rules: Rules) -> State:
    path = _artifact(rules.artifact)
    history.require_clean("a promotion")
    stale = [stage.name for stage in graph.read() if not stage.unchanged]
    if stale:
        raise HeadwaterError(f"{', '.join(stale)}: not built as the last commit says; dvc repro, and commit dvc.lock")
    registry, candidate = Registry(rules.artifact), history.git("rev-parse", "HEAD").strip()
    champion = registry.champion()
    if champion and _hash(path, champion.commit) == _hash(path, "HEAD"):
        return Completed(name="Cached", message=f"{champion.version} is the champion already")
    for gone, back in registry.rolled_back():  # a schedule must not undo what a person did
        if _hash(path, gone.commit) == _hash(path, "HEAD"):
            undo = f"to take that back: git tag --delete {rules.artifact}#{STAGE}#{back.number}"
            return Completed(name="Kept", message=f"it is the model of {gone.version}, which was rolled back; {undo}")
    failed = list(_gates(rules))
    compared, reasons = _compared(rules, champion) if champion else ([], ["the first"])
    if compared:
        artifacts.publish("promote", [(rules.artifact, compared, "The candidate against the champion")])
    worse = [row["figure"] for row in compared if row["verdict"] == "worse"]
    if failed or worse or (champion and not reasons):
        why = [*failed, *(f"{name} is worse" for name in worse)] or [f"{', '.join(rules.better)}: not told apart"]
        return Completed(name="Kept", message="; ".join(why))
    promoted = registry.promote(candidate, "\n".join(reasons))
    return Completed(name="Promoted", message=f"{promoted.version} is the champion: {'; '.join(reasons)}")


def _gates(rules: Rules) -> Iterator[str]:
    """What does not pass, one line each."""
    for bounds, beyond in ((rules.at_most, "more"), (rules.at_least, "less")):
        for name, bound in bounds.items():
            stage, _, dotted = name.partition(".")
            figures = artifacts.measured([Path("metrics", f"{stage}.json")])
            value = figures.get(dotted)
            if value is None:
                yield f"{name} was not measured"
            elif not (value <= bound if beyond == "more" else value >= bound):  # nan passes no gate
                yield f"{name} is {value:.6g}, {beyond} than {bound:g}"


def _compared(rules: Rules, champion: Promotion) -> tuple[list[dict[str, Any]], list[str]]:
    """A row for each figure that the rules name, and a line for each in which the candidate is better."""
    # Comparing takes numpy, Arrow and sacrebleu, which the other flows do not wait for.
    from stages.scoring import comparison

    names = [f"{rules.model}.parquet", f"{rules.model}_questions.parquet"]
    with tempfile.TemporaryDirectory() as folder:
        before = [_fetched(rules.results / name, champion, Path(folder, name)) for name in names]
        found = comparison.differences(before, [rules.results / name for name in names])
    by_name = {f"{one.task}.{one.metric}": one for one in found}
    rows, better = [], []
    for name in (*rules.better, *rules.not_worse):
        one = by_name.get(name)
        if one is None:
            raise HeadwaterError(f"{RULES}: {name} was not asked of both; there are {', '.join(sorted(by_name))}")
        interval = "" if one.low is None or one.high is None else f"[{one.low:+.4g}, {one.high:+.4g}]"
        figures = {"before": f"{one.before:.6g}", "after": f"{one.after:.6g}", "difference": interval}
        rows.append({"figure": name, **figures, "questions": one.questions, "verdict": one.verdict})
        if name in rules.better and one.verdict == "better":
            better.append(f"{name} {one.before:.6g} → {one.after:.6g}, difference {interval}")
    return rows, better


def _fetched(path: Path, champion: Promotion, target: Path) -> Path:
    """A file of the champion's, from DVC's cache or remote."""
    try:
        with Repo(rev=champion.commit) as repo:
            repo.dvcfs.get_file(path.as_posix(), str(target))
    except (DvcException, OSError) as error:
        raise HeadwaterError(f"{path} of {champion.version} is not to be had: {' '.join(str(error).split())}") from None
    return target


def _record(rules: Rules, champion: Promotion) -> None:
    names = (f"{rules.model}.parquet", f"{rules.model}_questions.parquet")
    RECORD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, kept in zip(names, promoted.ANSWERS, strict=True):
            # Copied, for what DVC fetches may be a link into its cache.
            shutil.copyfile(_fetched(rules.results / name, champion, Path(folder, kept)), RECORD / kept)
    about = {"version": champion.version, "commit": champion.commit, "reason": champion.reason, "model": rules.model}
    (RECORD / promoted.CHAMPION).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _artifact(name: str) -> str:
    declared = yaml.safe_load(Path("dvc.yaml").read_text("utf-8")).get("artifacts", {})
    if name not in declared:
        raise HeadwaterError(f"dvc.yaml: artifacts: no {name!r}, which {RULES} promotes")
    path: str = declared[name]["path"]
    return path


def _hash(path: str, revision: str) -> str | None:
    """What dvc.lock of a revision says of an output."""
    lock = yaml.safe_load(history.shown("dvc.lock", revision) or "{}")
    outs = [out for stage in lock.get("stages", {}).values() for out in stage.get("outs", [])]
    return next((out["md5"] for out in outs if out["path"] == path), None)


@command.explained
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of ``python -m flows.promote``: 0 if there is a new champion, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m flows.promote", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rollback", action="store_true", help="make the version before the champion again")
    parser.add_argument("--list", action="store_true", help="show what was promoted, when and why, as JSON lines")
    parser.add_argument("--record", action="store_true", help=f"keep the champion's answers in {RECORD}")
    options = parser.parse_args(arguments)
    rules = check(Rules, read(RULES), where=str(RULES))
    registry = Registry(rules.artifact)
    if options.list:
        for one in registry.promotions():
            print(json.dumps(vars(one), ensure_ascii=False))
        return 0
    if options.record:
        if (champion := registry.champion()) is None:
            raise HeadwaterError(f"{registry.name}: nothing was promoted yet")
        _record(rules, champion)
        print(f"{RECORD} has the answers of {champion.version}: commit it, and `dvc repro report`")
        return 0
    if options.rollback:
        back = registry.roll_back()
        files = f"git checkout {back.commit[:12]} && dvc checkout"
        print(f"{back.version} is the champion: {back.reason}; its files: {files}")
        return 0
    with server.used():
        state = promote(return_state=True)
    print(f"{'error: ' * state.is_failed()}{state.name}: {state.message}".replace("error: Failed: ", "error: "))
    return 0 if state.name in ("Promoted", "Cached") else 1


if __name__ == "__main__":
    sys.exit(main())
