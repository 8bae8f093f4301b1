"""Kept checkpoints as model folders: what a run had learned by an earlier step, as transformers loads it.

``python -m stages.training.snapshot`` shows the steps that there are checkpoints of, of the run that was last worked
on; with ``--step 500 --model FOLDER`` it writes the model of that step. The profile says which are kept (``saving``).
"""

import argparse
import csv
import io
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import GenerationConfig

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.runtime import profile
from stages.training import checkpoint, learner
from stages.training import model as models
from stages.training.course import DESCRIBED, LOG


def main() -> None:
    """Show checkpoints, or write the model of one."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.training.snapshot", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--stage", default="pretrain", help="that trained (pretrain)")
    parser.add_argument("--run", default="", help="how the name of its folder begins; without it the newest")
    parser.add_argument("--step", type=int, help="whose model is written; without it they are shown")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="to be made, for the model")
    parser.add_argument("--averaged", action="store_true", help="the weights that the run ends in, as they stood then")
    arguments = parser.parse_args()
    if (arguments.step is None) != (arguments.model is None):
        parser.error("--step and --model go together")
    try:
        run = newest(arguments.stage, arguments.run)
        if arguments.step is None:
            shown = [f"run {run.name}"]
            print("\n".join(shown + [f"step {step:,}: loss {loss(run, step):.4f}" for step in checkpoint.steps(run)]))
        else:
            _publish(run, arguments.step, arguments.model, averaged=arguments.averaged)
    except HeadwaterError as error:
        sys.exit(f"error: {error}")


def newest(stage: str, name: str = "") -> Path:
    """The folder of the run of a stage that was last worked on, among those whose names begin with ``name``.

    Raises:
        HeadwaterError: there is none with a checkpoint.
    """
    runs = [path for path in (profile().work / stage).glob(f"{name}*") if checkpoint.steps(path)]
    if not runs:
        asked = f" of a run {name}…" * bool(name)
        raise HeadwaterError(f"{profile().work / stage}: no checkpoints{asked} here")
    return max(runs, key=lambda path: (path.stat().st_mtime_ns, path.name))


def loss(run: Path, step: int) -> float:
    """The loss of the last step before a checkpoint."""
    text = (checkpoint.place(run, step) / LOG).read_text("utf-8")
    return float(list(csv.DictReader(io.StringIO(text)))[-1]["loss"])


def write(run: Path, step: int, folder: Path, *, averaged: bool) -> None:
    """Write the model of a checkpoint, with its tokenizer; of whole models, not of adapters.

    Args:
        run: Folder of the run, such as :func:`newest` gives.
        step: One of :func:`stages.training.checkpoint.steps`.
        folder: Where to; made if it is missing.
        averaged: Whether to take the average, or the best weights so far, that the run ends in.

    Raises:
        HeadwaterError: there is no such step, its checkpoint is damaged or holds an adapter, or the run has no average.
    """
    there, saved = checkpoint.steps(run), checkpoint.place(run, step)
    if step not in there:
        raise HeadwaterError(f"{run}: no checkpoint of step {step}; there are {', '.join(map(str, there))}")
    if problem := checkpoint.problem(saved):
        raise HeadwaterError(f"{saved}: refused, {problem}")
    described = run / DESCRIBED
    if not described.is_dir():
        raise HeadwaterError(f"{run}: its checkpoints hold what an adapter adds, not a whole model")
    config = models.configured(described)
    stop = GenerationConfig.from_pretrained(described).eos_token_id
    models.save(config, _weights(saved, averaged), folder, stop=stop)
    models.copy_tokenizer(described, folder)


def publish(run: Path, steps: Sequence[int], folder: Path, *, averaged: bool) -> None:
    """Make ``folder`` hold exactly the models of these steps, each in a folder named for it; see :func:`write`."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for step in steps:
        write(run, step, folder / checkpoint.place(run, step).name, averaged=averaged)


def _weights(saved: Path, averaged: bool) -> dict[str, torch.Tensor]:
    found = checkpoint.tensors(saved, checkpoint.WEIGHTS)
    if averaged:
        kept = checkpoint.tensors(saved, checkpoint.KEPT)
        if not kept:
            raise HeadwaterError(f"{saved}: the run ends in the weights of its last step; there are no others")
        found = {name: kept.get(name, weights) for name, weights in found.items()}
    return {name.removeprefix(learner.PREFIX): weights for name, weights in found.items()}


def _publish(run: Path, step: int, folder: Path, *, averaged: bool) -> None:
    """Write the model of a checkpoint under another name and rename it, so that ``folder`` is whole or not there."""
    if folder.exists():
        raise HeadwaterError(f"{folder}: is there already; name another folder")
    partial = folder.with_name(f".{folder.name}.partial")
    write(run, step, partial, averaged=averaged)
    shards.replace(partial, folder)


if __name__ == "__main__":
    main()
