"""How fast a GPU trains the recipes, and how true the plan of its memory is.

    python -m tests.benchmarks.gpu [NAME ...]

Each case trains on random tokens with the loop's own :class:`~stages.training.run.Run`, in a process of its own. It
prints tokens a second and the share of the maker's peak of matrix products (MFU), by the median of some steps, and the
peak of a step's memory in GiB: as planned, as torch's allocator counts tensors, and as it took them from the GPU.
"""

import statistics
import subprocess
import sys
import time
from typing import Any

import torch

from stages.core import recipe
from stages.core.params import check
from stages.training import distributed
from stages.training import model as models
from stages.training.data import Split
from stages.training.planning import fitting, gpus
from stages.training.planning.setup import Setup, setup
from stages.training.run import Run
from stages.training.spikes import Guard
from tests.training.planning.measured import Noise

_STEPS = 6  # the first two warm up and are not counted

CASES: dict[str, dict[str, Any]] = {
    "125m": {"recipe": "125m", "micro_batch": 16},
    "350m": {"recipe": "350m", "micro_batch": 16},
    "350m, two passes": {"recipe": "350m", "micro_batch": 8, "passes": 2},
    "350m, not deterministic": {"recipe": "350m", "micro_batch": 16, "training": {"deterministic": False}},
    "350m, compiled": {"recipe": "350m", "micro_batch": 16, "training": {"compile": True}},
    "350m, computed again": {"recipe": "350m", "micro_batch": 16, "checkpointing": True},
    "350m, documents apart": {"recipe": "350m", "micro_batch": 16, "training": {"documents_apart": True}},
    "350m, muon": {"recipe": "350m", "micro_batch": 16, "training": {"optimizer": "muon"}},
    "1b": {"recipe": "1b", "micro_batch": 8},
    "1b, compiled": {"recipe": "1b", "micro_batch": 8, "training": {"compile": True}},
    "1b, computed again": {"recipe": "1b", "micro_batch": 16, "checkpointing": True},
    "3b, computed again": {"recipe": "3b", "micro_batch": 4, "checkpointing": True},
}


def case(
    *,
    recipe_name: str,
    micro_batch: int,
    passes: int = 1,
    checkpointing: bool = False,
    training: dict[str, Any] | None = None,
) -> Setup:
    """A run of a recipe on one GPU, in steps of a few rows."""
    values = recipe.values(recipe_name)
    values["pretrain"]["training"] |= training or {}
    return setup(values, ranks=1).changed(micro_batch=micro_batch, passes=passes, checkpointing=checkpointing)


def _setup(name: str) -> Setup:
    values = dict(CASES[name])
    return case(recipe_name=values.pop("recipe"), **values)


def one(name: str) -> None:
    """Print a case's figures."""
    run_setup = _setup(name)
    peak_flops = gpus.gpu(_gpu()).peak
    architecture = check(models.Architecture, run_setup.model, "model")
    with torch.device("cuda"):
        model = models.build(architecture, vocab_size=run_setup.vocab_size, context=run_setup.context, seed=1)
    accelerator = distributed.start(run_setup.training, "fsdp2")
    split = Split(Noise(run_setup.training.batch_sequences, run_setup), 0, seed=0, steps=1)
    run = Run(accelerator, model, split, run_setup.training, _STEPS, 0)
    took = []
    for step in range(_STEPS):
        if step == 2:
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        run.step(step, Guard(run_setup.training.spikes, [], []), distributed.Stop())
        torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    rate = run_setup.training.batch_sequences * run_setup.context / statistics.median(took[2:])
    with fitting.followers(run_setup.model["kind"]) as followers:
        planned = followers.follow(run_setup).result().peak
    tensors, taken = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    print(
        f"{name:28}{rate:11,.0f}{rate * run.learner.flops_per_token / peak_flops:7.1%}"
        f"{planned / gpus.GIB:9.2f}{tensors / gpus.GIB:9.2f}{taken / gpus.GIB:9.2f}"
        f"  {planned / tensors - 1:+.1%}  first step {took[0]:.1f} s",
        flush=True,
    )


def _gpu() -> str:
    """This machine's, as infra/gpus.yaml calls it."""
    said = torch.cuda.get_device_name()
    known = sorted(gpus.gpus(), key=len, reverse=True)
    found = next((name for name in known if name in said.lower().replace(" ", "-")), None)
    return found or sys.exit(f"error: {gpus.FILE} has no {said}: add it")


def main() -> None:
    """Each case in turn."""
    if sys.argv[1:2] == ["--only"]:
        one(sys.argv[2])
        return
    if not torch.cuda.is_available():
        sys.exit("error: torch finds no GPU here")
    print(f"{'':28}{'tokens/s':>11}{'MFU':>7}{'planned':>9}{'tensors':>9}{'taken':>9}  GiB", flush=True)
    for name in sys.argv[1:] or CASES:
        subprocess.run([sys.executable, "-m", "tests.benchmarks.gpu", "--only", name], check=False)


if __name__ == "__main__":
    main()
