"""What a training step takes of memory in fact, measured on the CPU, to stand beside what the planner says.

``peak`` trains a real model for three steps with the loop's own ``Run``. It is measured by the operating system: the
highest resident memory of the process in the third step (``VmHWM``, set back before it through
``/proc/self/clear_refs``), less that before the model was made. Tensors of 64 kB or more are mapped and unmapped one by
one (``mallopt``), so memory that was freed does not count; a smaller model was trained before, so libraries do not.
"""

import ctypes
import dataclasses
import gc
import multiprocessing
import os
import socket
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from stages.core.order import Integers
from stages.core.params import check
from stages.training import distributed
from stages.training import model as models
from stages.training.data import Rows, Split
from stages.training.planning.setup import Setup
from stages.training.run import Run
from stages.training.spikes import Guard

_MMAP_THRESHOLD = -3  # of mallopt, as in malloc.h


class Noise:
    """Rows of random tokens."""

    def __init__(self, count: int, setup: Setup) -> None:
        self.count, self.setup = count, setup

    def __len__(self) -> int:
        return self.count

    def rows(self, indices: Integers, _: Integers) -> Rows:
        tokens = np.random.default_rng(0).integers(0, self.setup.vocab_size, (len(indices), self.setup.context))
        return Rows(tokens, tokens, tokens // self.setup.vocab_size if self.setup.documents else None)

    def sources(self, indices: Integers) -> list[str]:
        return []


def peak(setup: Setup) -> int:
    """Bytes of the first rank."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.planning.measured"])
    ours, theirs = context.Pipe(duplex=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [context.Process(target=_rank, args=(setup, rank, port, theirs)) for rank in range(setup.ranks)]
    for process in ranks:
        process.start()
    found: int = ours.recv()
    for process in ranks:
        process.join()
        assert process.exitcode == 0
    return found


def _rank(setup: Setup, rank: int, port: int, result: Connection) -> None:
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 65536)
    place = {"WORLD_SIZE": setup.ranks, "RANK": rank, "LOCAL_RANK": rank, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1", OMP_NUM_THREADS="1")
    _train(dataclasses.replace(setup, model={**setup.model, "layers": 1}))
    gc.collect()
    before = _status("VmRSS")
    run = _train(setup)
    Path("/proc/self/clear_refs").write_text("5")
    run.step(2, Guard(setup.training.spikes, [], []), distributed.Stop())
    if rank == 0:
        result.send(_status("VmHWM") - before)


def _train(setup: Setup) -> Run:
    """Two steps: the first makes the optimizer's state, the second frees what the first left."""
    architecture = check(models.Architecture, setup.model, "model")
    model = models.build(architecture, vocab_size=setup.vocab_size, context=setup.context, seed=1)
    accelerator = distributed.start(setup.training, "fsdp2")
    torch.set_num_threads(1)
    split = Split(Noise(setup.training.batch_sequences, setup), 0, seed=0, steps=1)
    run = Run(accelerator, model, split, setup.training, 9, 0)
    for step in range(2):
        run.step(step, Guard(setup.training.spikes, [], []), distributed.Stop())
    return run


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
