"""Take over a trial of a sweep: its values into params.yaml as a recipe's, its results into the working tree.

``python -m flows.apply learning_rate-1f3c9a02-7`` prints the difference, as ``python -m stages.core.recipe`` does;
comments and layout stay. dvc.lock, metrics and data become the trial's, so that nothing is built again for what was
built with it. ``git checkout . && dvc checkout`` takes it all back.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from flows import command, history, trial
from stages.core import recipe
from stages.core.errors import HeadwaterError
from stages.core.params import FILE


def apply(name: str) -> str:
    """Bring a trial's experiment into the working tree; the difference that it makes to params.yaml.

    Args:
        name: Of the experiment, as the sweep tells it.

    Raises:
        HeadwaterError: there is no such experiment here, something is not committed, or DVC refuses.
    """
    history.require_clean("a trial is taken over")
    found = trial.references(name)
    if not found:
        raise HeadwaterError(f"{name}: no such experiment here; dvc exp list --name-only shows those there are")
    before = FILE.read_text("utf-8")
    text, difference = recipe.difference(None, settings=list(_settings(found[0])))
    command = [sys.executable, "-m", "dvc", "exp", "apply", "--quiet", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        FILE.write_text(before, "utf-8")
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise HeadwaterError(f"dvc exp apply {name}: {lines[-1].removeprefix('ERROR: ')}")
    FILE.write_text(text, "utf-8")  # DVC writes the whole file in a layout of its own
    return difference


def _settings(reference: str) -> Iterator[str]:
    """The values that an experiment gave other than the commit that it was made from, as ``--set`` takes them."""
    then, now = (yaml.safe_load(history.shown(FILE, at) or "{}") for at in (f"{reference}^", reference))
    for name, value in _changed(then, now):
        yield f"{name}={json.dumps(value)}"


def _changed(then: Any, now: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in now.items():
        old = then.get(key) if isinstance(then, Mapping) else None
        if isinstance(value, Mapping) and isinstance(old, Mapping) and all(isinstance(one, str) for one in value):
            yield from _changed(old, value, f"{prefix}{key}.")
        elif _number(value) != _number(old):
            yield f"{prefix}{key}", value


def _number(value: Any) -> Any:
    """A value as it is meant: PyYAML reads 1e-3 as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


@command.explained
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of ``python -m flows.apply``; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m flows.apply", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("experiment", help="name of a trial's experiment, as its sweep tells it")
    difference = apply(parser.parse_args(arguments).experiment)
    print(difference or "nothing to change", end="" if difference else "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
