"""The largest micro-batch that fits a GPU, and what would make one fit.

Following a step takes a tenth of a second a layer. The peak grows with rows and layers as a maximum of straight lines,
so it is first followed with few of both and drawn out from there; what fits by that is then followed in full.
"""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stages.training.planning.gpus import Gpu
from stages.training.planning.setup import Memory, Setup, Size

_LAYERS = (4, 8)
"""Of the models that are followed first: with fewer, the output layer weighs more than all layers."""

Pending = concurrent.futures.Future[Any]


class Followers:
    """Processes that follow steps, each its own one; what was followed once is remembered."""

    def __init__(self, pool: concurrent.futures.Executor) -> None:
        self._pool = pool
        self._found: dict[str, Pending] = {}

    def size(self, setup: Setup) -> Size:
        """See :func:`stages.training.planning.memory.size`."""
        found: Size = self._pool.submit(_size, setup).result()
        return found

    def follow(self, setup: Setup, *, like_gpu: bool = True) -> Pending:
        """See :func:`stages.training.planning.memory.follow`; the result comes when it is asked for."""
        key = repr((setup, like_gpu))
        if key not in self._found:
            self._found[key] = self._pool.submit(_follow, setup, like_gpu)
        return self._found[key]


@contextmanager
def followers() -> Iterator[Followers]:
    """As many processes as cores; they are forked from one that has imported torch, so that each starts at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["stages.training.planning.memory"])
    workers = len(os.sched_getaffinity(0))
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool:
        try:
            yield Followers(pool)
        finally:
            pool.shutdown(cancel_futures=True)


def _size(setup: Setup) -> Size:
    from stages.training.planning import memory

    return memory.size(setup)


def _follow(setup: Setup, like_gpu: bool) -> Memory:
    from stages.training.planning import memory

    return memory.follow(setup, like_gpu=like_gpu)


@dataclass(frozen=True)
class Fit:
    """How a run lies in the memory of a GPU."""

    checkpointing: bool
    micro_batch: int
    """The largest that fits and divides the rows of a rank; 1 where none does."""
    passes: int
    """Forward passes of a step."""
    memory: Memory
    """With that micro-batch."""
    room: int
    """Bytes that tensors may take."""

    @property
    def fits(self) -> bool:
        """Whether there is room."""
        return self.memory.peak <= self.room

    @property
    def short(self) -> int:
        """Bytes that are missing, or left if negative."""
        return self.memory.peak - self.room


class Line:
    """The peak by rows of a pass, drawn out from models of few layers and steps of one pass."""

    def __init__(self, followers: Followers, setup: Setup, checkpointing: bool) -> None:
        self.followers, self.setup, self.checkpointing = followers, setup, checkpointing
        self.layers = setup.model["layers"]
        self._layers: tuple[int, ...] = _LAYERS if self.layers > _LAYERS[1] else (self.layers,)
        rows = [size for size in (1, 2) if size <= setup.rows]
        self._pending = {(n, size): followers.follow(self._small(n, size)) for n in self._layers for size in rows}

    def _small(self, layers: int, rows: int) -> Setup:
        return self.setup.changed(micro_batch=rows, passes=1, checkpointing=self.checkpointing, layers=layers)

    def peak(self, rows: int) -> float:
        """Bytes, with ``rows`` a pass."""
        ends = [self._by_rows(layers, rows) for layers in self._layers]
        if len(ends) == 1:
            return ends[0]
        few, many = self._layers[0], self._layers[-1]
        return ends[0] + (ends[1] - ends[0]) * (self.layers - few) / (many - few)

    def _by_rows(self, layers: int, rows: int) -> float:
        one: Memory = self._pending[layers, 1].result()
        peak = float(one.peak)
        if (layers, 2) in self._pending:
            peak += (self._pending[layers, 2].result().peak - one.peak) * (rows - 1)
        if rows < self.setup.rows:  # gradients of the earlier passes are there from the start
            waiting = one.gradients * self.setup.ranks
            peak += waiting - one.parts["gradients"]
        return peak

    def largest(self, room: int) -> int:
        """The largest micro-batch that may fit, or 1."""
        return max((size for size in divisors(self.setup.rows) if self.peak(size) <= room), default=1)

    def whole(self, rows: int) -> Pending:
        """The memory of the whole model with ``rows`` a pass."""
        passes = min(2, self.setup.rows // rows)  # a third finds what the second found
        return self.followers.follow(
            self.setup.changed(micro_batch=rows, passes=passes, checkpointing=self.checkpointing)
        )


def divisors(number: int) -> list[int]:
    """Of ``number``, in order."""
    return [size for size in range(1, number + 1) if number % size == 0]


def fits(followers: Followers, setup: Setup, room: int) -> list[Fit]:
    """The run with activations kept, and with activations computed again."""
    lines = [Line(followers, setup, checkpointing) for checkpointing in (False, True)]
    sizes = [line.largest(room) for line in lines]
    pending = [line.whole(size) for line, size in zip(lines, sizes, strict=True)]  # both at the same time
    return [_followed_down(line, size, found, room) for line, size, found in zip(lines, sizes, pending, strict=True)]


def _followed_down(line: Line, size: int, found: Pending, room: int) -> Fit:
    """The largest micro-batch up to ``size`` that fits in fact."""
    for smaller in [*reversed([one for one in divisors(line.setup.rows) if one < size]), 0]:
        memory: Memory = found.result()
        if memory.peak <= room or not smaller:
            break
        size, found = smaller, line.whole(smaller)
    return Fit(line.checkpointing, size, line.setup.rows // size, memory, room)


def room(gpu: Gpu, usable: float) -> int:
    """Bytes that tensors may take on a GPU of which a share is ``usable``."""
    return int(gpu.memory * usable)


def remedies(fit: Fit, setup: Setup, known: dict[str, Gpu], usable: float, each: int) -> list[str]:
    """What would make the smallest micro-batch fit, each in a sentence's part.

    Args:
        fit: The run that does not fit.
        setup: The run.
        known: GPUs that there are.
        usable: Share of their memory that tensors may take.
        each: GPUs of a machine, which more GPUs are a multiple of.
    """
    parts, found = fit.memory.parts, []
    whole = parts["whole gradients"]
    if whole and fit.memory.peak - whole <= fit.room:
        found.append(
            f"pretrain.training.batch_sequences of {setup.ranks}: one pass a step, whose gradients need not wait whole"
        )
    shared = sum(parts[name] for name in ("parameters", "gradients", "optimizer", "averaged weights"))
    left = fit.room - (fit.memory.peak - shared)
    if left > 0 and setup.ranks > 1:
        needed = -(-shared * setup.ranks // left)
        counts = range(-(-needed // each) * each, setup.training.batch_sequences + 1, each)
        enough = next((count for count in counts if setup.training.batch_sequences % count == 0), None)
        if enough:
            found.append(f"about {enough} GPUs, which share the model")
    larger = sorted(
        (gpu.memory, name) for name, gpu in known.items() if room(gpu, usable) >= fit.memory.peak > fit.room
    )
    if larger:
        found.append(f"a GPU with more memory: {', '.join(name for _, name in larger)}")
    return found or ["fewer or narrower layers, a smaller vocabulary or a shorter context"]
