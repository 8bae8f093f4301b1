"""A training run for two machines, small enough to repeat; it is started as the planner says."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from stages.training.planning import launch
from tests.conftest import ROOT
from tests.training import small_run

PLACE = launch.machines(2, 1)
"""Two machines with a process each."""

STEPS, EVERY = 200, 10
"""Of the run, and from one checkpoint to the next."""


def prepare(folder: Path, execution: str = "") -> dict[str, str]:
    """A project's folder with packed tokens, parameters, profile and dvc.yaml; the environment that the run is given.

    Args:
        folder: To be made.
        execution: More lines of the profile.
    """
    training = {"micro_batch": 1}
    small_run.prepare(folder, steps=STEPS, epochs=200, every=EVERY, training=training, execution=execution)
    command = " ".join(["python -m stages.pretrain", *small_run.flags("run")])
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"pretrain": {"cmd": command}}}))
    profile = small_run.profile(folder, 1, "run")
    variables = {"HEADWATER_PROFILE": str(profile), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables}


def undisturbed(folder: Path) -> dict[str, bytes]:
    """What the run leaves, see :func:`files`, of two processes on this machine that nobody stops."""
    variables = prepare(folder)
    small_run.profile(folder, 2, "run")
    command = [sys.executable, "-m", "stages.pretrain", *small_run.flags("run")]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return files(folder)


def files(folder: Path) -> dict[str, bytes]:
    """Everything that the run left, by name: its results, and the state of model and optimizer in its checkpoints."""
    found = {path.name: path.read_bytes() for path in sorted((folder / "run.model").iterdir())}
    found["log"] = (folder / "run.csv").read_bytes()
    for path in sorted((folder / "run").glob("pretrain/*/step-*/*.distcp")):
        found[f"{path.parent.name}/{path.name}"] = path.read_bytes()
    return found


def reached(folder: Path, step: int) -> bool:
    """Whether the run has saved at a step."""
    return any(folder.glob(f"run/pretrain/*/step-{step:08d}"))


def until(there: Callable[[], bool], what: Callable[[], str], limit: float = 300) -> None:
    """Wait; after ``limit`` seconds it is an error, and ``what`` says which."""
    deadline = time.monotonic() + limit
    while not there():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)
