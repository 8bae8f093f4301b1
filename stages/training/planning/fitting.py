"""The largest micro-batch that fits a GPU, and what would make one fit.

Following a step takes a tenth of a second a layer. The peak grows with rows and layers as a maximum of straight lines,
so it is first followed with few of both and drawn out from there; what fits by that is then followed with all layers.
"""

import concurrent.futures
import dataclasses
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from typing import Any

from stages.core.runtime import profile
from stages.training.planning.gpus import Gpu
from stages.training.planning.setup import Memory, Setup, Size

_LAYERS = (4, 8)
"""Of the models that are followed first: with fewer, the output layer weighs more than all layers."""

_ROWS = (1, 4, 16)
"""Of the passes that are followed first: with many rows another moment of a step is its peak than with one."""

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
def followers(kind: str) -> Iterator[Followers]:
    """As many processes as cores, forked from one that has imported torch and the ``kind`` of model: each starts at
    once."""
    context = multiprocessing.get_context("forkserver")
    modeling = f"transformers.models.{kind}.modeling_{kind}"  # what Auto classes import late, in a second
    context.set_forkserver_preload(["stages.training.planning.memory", modeling])
    workers = len(os.sched_getaffinity(0))
    # Ctrl-C reaches them too: they end without a word, and this process tells of it.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    forkserver.ensure_running()
    signal.signal(signal.SIGINT, before)
    with concurrent.futures.ProcessPoolExecutor(
        workers,
        mp_context=context,
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_DFL),
        max_tasks_per_child=1,
    ) as pool:
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
    """The peak by rows of a pass, drawn out from models of few layers."""

    def __init__(self, followers: Followers, setup: Setup, checkpointing: bool) -> None:
        self.followers, self.setup, self.checkpointing = followers, setup, checkpointing
        self.layers = setup.model["layers"]
        self._layers: tuple[int, ...] = _LAYERS if self.layers > _LAYERS[1] else (self.layers,)
        self._rows = sorted({min(rows, setup.rows) for rows in _ROWS})
        self._found = {(layers, rows): self._follow(rows, layers) for layers in self._layers for rows in self._rows}

    def _follow(self, rows: int, layers: int) -> Pending:
        setup = self.setup.changed(micro_batch=rows, passes=1, checkpointing=self.checkpointing, layers=layers)
        return self.followers.follow(setup)

    def peak(self, rows: int) -> float:
        """Bytes, with ``rows`` a pass."""
        ends = [self._by_rows(layers, rows) for layers in self._layers]
        if len(ends) == 1:
            return ends[0]
        few, many = self._layers[0], self._layers[-1]
        return ends[0] + (ends[1] - ends[0]) * (self.layers - few) / (many - few)

    def _by_rows(self, layers: int, rows: int) -> float:
        found = [self._waiting(self._found[layers, size].result(), rows).peak for size in self._rows]
        if len(found) == 1:
            return float(found[0])
        last = next((n for n, size in enumerate(self._rows) if size >= rows and n), len(found) - 1)
        step = (found[last] - found[last - 1]) / (self._rows[last] - self._rows[last - 1])
        return float(found[last] + step * (rows - self._rows[last]))

    def _waiting(self, memory: Memory, rows: int) -> Memory:
        """Of a step of one pass that of one of several, where the gradients of earlier passes wait from the start."""
        if rows == self.setup.rows:
            return memory
        parts = {**memory.parts, "gradients": memory.gradients}
        if self.setup.ranks > 1 and profile().gradient_sync == "step":  # whole, until the last pass sums them
            parts |= {"gradients": 0, "whole gradients": memory.gradients * self.setup.ranks}
        more = sum(parts.values()) - sum(memory.parts.values())
        return dataclasses.replace(memory, peak=memory.peak + more, parts=parts)

    def largest(self, room: int) -> int:
        """The largest micro-batch that may fit, or 1."""
        return max((size for size in divisors(self.setup.rows) if self.peak(size) <= room), default=1)

    def start(self, rows: int) -> None:
        """Begin to follow all layers with ``rows`` a pass."""
        self._follow(rows, self.layers)

    def whole(self, rows: int) -> Memory:
        """The memory with all layers and ``rows`` a pass."""
        return self._waiting(self._follow(rows, self.layers).result(), rows)


def divisors(number: int) -> list[int]:
    """Of ``number``, in order."""
    return [size for size in range(1, number + 1) if number % size == 0]


def fits(followers: Followers, setup: Setup, room: int) -> list[Fit]:
    """The run with activations kept, and with activations computed again."""
    lines = [Line(followers, setup, checkpointing) for checkpointing in (False, True)]
    for line in lines:
        line.start(line.largest(room))  # both at the same time
    return [fit(line, room) for line in lines]


def fit(line: Line, room: int) -> Fit:
    """The run of a line with the largest micro-batch that fits in fact."""
    most = line.largest(room)
    for rows in reversed([one for one in divisors(line.setup.rows) if one <= most]):
        memory = line.whole(rows)
        if memory.peak <= room:
            break
    return Fit(line.checkpointing, rows, line.setup.rows // rows, memory, room)


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
    if fit.passes > 1 and whole and fit.memory.peak - whole + fit.memory.gradients <= fit.room:
        found.append("gradient_sync: pass in the execution profile, with which each rank keeps its share of gradients")
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
