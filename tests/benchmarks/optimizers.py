"""What AdamW and Muon reach: the loss of held-out rows against tokens and against processor time.

    python -m tests.benchmarks.optimizers [--tokens data/pack] [--tokenizer data/tokenizer] [--steps 300]
    python -m tests.benchmarks.optimizers --keep infra/optimizers.json

Each trains the model of params.yaml from the same weights on the same rows, with one or more peaks of the learning rate
(Muon's updates are scaled so that AdamW's fits both) and a warm-up of a twentieth of the steps. Time is
the processor's, of the steps alone. ``--keep`` writes the curves, with what they were measured on, for the report.
"""

import argparse
import datetime
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from stages import pretrain
from stages.core import fingerprint, params
from stages.core.tokens import DESCRIPTION
from stages.training import loop
from stages.training.run import Run, Step

_POINTS, _HELD_OUT = 12, 64
"""Measurements of a run, and the rows that they take."""


def curve(arguments: argparse.Namespace, optimizer: str, peak: float) -> dict[str, Any]:
    """Train once; tokens, processor seconds and held-out loss at each measurement."""
    spent: list[float] = []

    class Timed(Run):
        def step(self, *arguments: Any) -> Step:
            began = time.process_time()
            taken = super().step(*arguments)
            spent.append(spent[-1] + time.process_time() - began if spent else 0.0)  # the first step warms up
            return taken

    every = arguments.steps // _POINTS
    values = params.read()["pretrain"]
    values |= {"steps": every * _POINTS, "epochs": 1000, "snapshots": []}
    values["training"] |= {"optimizer": optimizer, "held_out": {"rows": _HELD_OUT, "every": every, "patience": 0}}
    values["training"]["schedule"] |= {"peak": peak, "warmup": arguments.steps // 20}
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(loop, "Run", Timed):
        at = Path(folder)
        pretrain.run(
            params.check(pretrain.Params, values, "pretrain"),
            tokens=arguments.tokens, tokenizer=arguments.tokenizer, earlier=at, model=at / "model",
            snapshots=at / "snapshots", log=at / "log",
            spikes=at / "spikes",
        )  # fmt: skip
        header, *lines = [line.split(",") for line in (at / "log").read_text("utf-8").splitlines()]
    rows = [dict(zip(header, line, strict=True)) for line in lines[every - 1 :: every]]
    return {
        "optimizer": optimizer,
        "peak": peak,
        "tokens": [int(row["tokens"]) for row in rows],
        "processor_seconds": [round(seconds, 2) for seconds in spent[every - 1 :: every]],
        "held_out_loss": [round(float(row["held_out_loss"]), 4) for row in rows],
    }


def measured_on(tokens: Path) -> dict[str, Any]:
    """Where and on what the curves were taken."""
    described = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in described if line.startswith("model name")]
    model = params.read()["pretrain"]["model"]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"one core of {next(iter(names), platform.machine())}",
        "model": f"a {model['kind']} of {model['layers']} layers of width {model['hidden']}",
        "tokens": fingerprint.file_hash(tokens / DESCRIPTION),
    }


def main() -> None:
    """Read the command line, run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--tokens", type=Path, default=Path("data/pack"))
    parser.add_argument("--tokenizer", type=Path, default=Path("data/tokenizer"))
    parser.add_argument("--adamw", type=float, nargs="+", default=[4e-3], metavar="PEAK")
    parser.add_argument("--muon", type=float, nargs="+", default=[4e-3], metavar="PEAK")
    parser.add_argument("--keep", type=Path, help="file for the curves")
    arguments = parser.parse_args()
    runs = []
    print(f"{'':18}{'tokens':>10}{'CPU s':>8}{'held-out loss':>15}")
    with tempfile.TemporaryDirectory() as work:
        profile = Path(work) / "profile.yaml"
        # One thread, because several wait for each other by spinning, which is processor time too.
        profile.write_text(f"work: {work}\nthreads: 1\nsaving: {{every: 1000000, keep_last: 1}}\n", "utf-8")
        os.environ["HEADWATER_PROFILE"] = str(profile)
        for optimizer in ("adamw", "muon"):
            for peak in getattr(arguments, optimizer):
                runs.append(curve(arguments, optimizer, peak))
                for point in zip(*list(runs[-1].values())[2:], strict=True):
                    print(f"{optimizer:6} at {peak:<8g}{point[0]:10,}{point[1]:8.1f}{point[2]:15.3f}", flush=True)
        if arguments.keep:
            found = {"measured_on": measured_on(arguments.tokens), "runs": runs}
            arguments.keep.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
