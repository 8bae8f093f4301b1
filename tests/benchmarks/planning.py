"""How true the plan of a training run is: the peak of a step as it is planned, and as a process takes it.

    python -m tests.benchmarks.planning

Both on the CPU, where both can be had: the planner follows tensors without data, `tests/training/planning/measured.py`
trains for real and asks the operating system (it says how). Models with activations kept and computed again, with
gradients added up over passes, sharded over two processes, with other optimizers and other kinds of model. Then how
long a plan takes.
"""

import sys
import time
from typing import Any

from stages.core import recipe
from stages.core.params import FILE, read
from stages.training.planning import fitting, gpus
from stages.training.planning.setup import Setup, setup
from tests.training.planning import measured

WIDER: dict[str, Any] = {"hidden": 256, "layers": 6, "heads": 4, "kv_heads": 4, "intermediate": 704}

CASES: dict[str, dict[str, Any]] = {
    "activations kept": {},
    "activations computed again": {"checkpointing": True},
    "two passes": {"passes": 2},
    "attention: eager": {"training": {"attention": "eager"}},
    "precision: fp32": {"training": {"precision": "fp32"}},
    "muon, moving average": {
        "training": {
            "optimizer": "muon",
            "averaging": {"method": "ema", "decay": 0.9, "points": 1, "every": 1},
        }
    },
    "bert, masked": {"model": {"kind": "bert"}, "objective": "masked"},
    "gpt2": {"model": {"kind": "gpt2"}},
    "two processes": {"ranks": 2},
    "two processes, computed again": {"ranks": 2, "checkpointing": True},
    "two processes, muon": {"ranks": 2, "training": {"optimizer": "muon"}},
}

PLANNED = ("125m", "1b", "7b")


def case(
    *,
    ranks: int = 1,
    passes: int = 1,
    checkpointing: bool = False,
    objective: str = "causal",
    model: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> Setup:
    """A run of a model of 7 million parameters, with the other values of params.yaml."""
    values = read(FILE)
    values["pretrain"]["model"] |= {**WIDER, **(model or {})}
    values["pretrain"]["training"] |= {"attention": "sdpa", **(training or {})}
    values["pretrain"]["objective"]["kind"] = objective
    values["tokenizer"]["vocab_size"], values["pack"]["context"] = 8192, 256
    return setup(values, ranks=ranks).changed(micro_batch=8, passes=passes, checkpointing=checkpointing)


def main() -> None:
    """Print both peaks of every case, and the seconds of some plans."""
    print(f"{'':32} {'planned':>9} {'measured':>9}  MiB")
    with fitting.followers("llama") as followers:
        for name, values in CASES.items():
            run = case(**values)
            planned = followers.follow(run, like_gpu=False).result().peak
            found = measured.peak(run)
            print(f"{name:32} {planned / 2**20:9.1f} {found / 2**20:9.1f}  {planned / found - 1:+.1%}", flush=True)
    if "--no-plans" in sys.argv:
        return
    for name in PLANNED:
        began = time.monotonic()
        with fitting.followers("llama") as followers:
            fitting.fits(followers, setup(recipe.values(name), ranks=8), fitting.room(gpus.gpu("h100"), 0.9))
        print(f"plan of {name} on 8 h100: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
