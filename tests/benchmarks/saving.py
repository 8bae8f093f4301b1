"""What checkpoints cost: ``python -m tests.benchmarks.saving``.

Trains a model of params.yaml's shape on random tokens, saving every few steps, and prints how long training stood still
for a checkpoint, what a step takes, and the share of the time at the profile's interval; with and without
``saving.asynchronous``, in turn.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml

from stages.core import runtime
from stages.core.order import Integers
from stages.core.params import check
from stages.training import model as models
from stages.training.checkpoint import Checkpoints
from stages.training.data import Fixed, Rows
from stages.training.loop import train
from stages.training.settings import Training

VOCABULARY = 4096


class Counted(Fixed):
    """Rows whose first micro-batch of a step says that a step begins."""

    def __init__(self, everything: Rows, micro_batches: int) -> None:
        super().__init__(everything, [[]] * len(everything.input_ids))
        self.micro_batches, self.calls = micro_batches, 0
        self.begun: list[float] = []

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        """Those rows."""
        if self.calls % self.micro_batches == 0:
            self.begun.append(time.perf_counter())
        self.calls += 1
        return super().rows(indices, positions)


class Timed(Checkpoints):
    """Checkpoints that say how long training waits for them."""

    seconds: ClassVar[list[float]] = []

    def save(self, step: int, texts: Any, anchor: int) -> None:
        """As ever."""
        began = time.perf_counter()
        super().save(step, texts, anchor)
        self.seconds.append(time.perf_counter() - began)


def one(arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds of a step without a checkpoint, of one whose checkpoint is being written, and of standing still."""
    from stages.training import loop

    vars(loop)["Checkpoints"] = Timed
    values = yaml.safe_load(Path("params.yaml").read_text("utf-8"))["pretrain"]
    values["model"] |= {"hidden": arguments.hidden, "heads": arguments.hidden // 64, "kv_heads": arguments.hidden // 64}
    values["model"] |= {"intermediate": 8 * arguments.hidden // 3 // 64 * 64}
    training = check(Training, values["training"], "training")
    steps, batch = arguments.every * arguments.rounds, training.batch_sequences
    ids = np.random.default_rng(0).integers(8, VOCABULARY, (steps * batch, arguments.context + 1))
    data = Counted(Rows(ids[:, :-1], ids[:, 1:]), batch // training.micro_batch)
    architecture = check(models.Architecture, values["model"], "model")
    model = models.build(architecture, vocab_size=VOCABULARY, context=arguments.context, seed=1)
    area = runtime.profile().work / "run"
    area.mkdir()
    found = train(model, data, training, steps=steps, seed=1, area=area, label="benchmark")
    each = np.diff(data.begun)
    quiet = float(np.median(each[[number % arguments.every >= arguments.every // 2 for number in range(1, steps)]]))
    # What the steps after a checkpoint take more than others, and what training stood still for it.
    lost = (sum(each[arguments.every :]) - quiet * len(each[arguments.every :])) / (arguments.rounds - 1)
    return {
        "parameters": found.metrics["parameters"],
        "step": quiet,
        "stands": statistics.median(Timed.seconds[1:]),
        "lost": float(lost),
    }


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["true", "false"], help="run one way here")
    parser.add_argument("--every", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--context", type=int, default=256)
    arguments = parser.parse_args()
    every = runtime.profile().saving.every
    for asynchronous in [arguments.only] if arguments.only else ["false", "true"]:
        with tempfile.TemporaryDirectory(dir=".") as work:
            profile = Path(work) / "profile.yaml"
            profile.write_text(
                f"work: {work}\nsaving: {{every: {arguments.every}, asynchronous: {asynchronous}}}\n", "utf-8"
            )
            if arguments.only:
                os.environ["HEADWATER_PROFILE"] = str(profile)
                runtime.profile.cache_clear()
                print(json.dumps(one(arguments)))
                return
            words = [f"--{name}={getattr(arguments, name)}" for name in ("every", "rounds", "hidden", "context")]
            command = [sys.executable, "-m", "tests.benchmarks.saving", f"--only={asynchronous}", *words]
            shown = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        seconds = json.loads(shown.stdout)
        shares = [seconds[name] / (every * seconds["step"]) for name in ("stands", "lost")]
        print(
            f"{seconds['parameters']:,} weights, asynchronous {asynchronous}: a step {seconds['step']:.3f} s, "
            f"a checkpoint stops it {seconds['stands']:.3f} s: {shares[0]:.2%} of the time at one in {every} steps,"
            f" {shares[1]:.2%} with what it slows down"
        )


if __name__ == "__main__":
    main()
