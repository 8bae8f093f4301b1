"""Networks over the blocks of pages learn which are main text, and are put into whole numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import Linear, Module, ModuleList
from torch.nn.functional import binary_cross_entropy_with_logits, dropout, pad

from stages.web.pages import block_network
from stages.web.pages.block_network import MOST, ONE, SEEN, Dense, Network, Scale, whole

Array = np.ndarray[Any, Any]


_CHANNELS = 32
_GATES = 4
_REACHES = (1, 2, 4, 8)
_EPOCHS = 6
_PAGES = 24  # in a batch
_BLOCKS = 300  # of a page, at most: then a stretch of it
_HEAVY = 130  # blocks from which a page counts no more for having more
_RATE = 2e-3
_DECAY = 0.02
_DROPOUT = 0.1
_DRAWN = 32  # blocks of a page that tell what is usual
_OVERLAP = 0.3  # weight of what F1 of whole pages lacks, beside what each block lacks


@dataclass(frozen=True)
class Example:
    """Blocks of a page to learn from."""

    seen: Array  # (features, blocks) as a Scale gives them, int8
    labels: Array  # (blocks,) 0-1
    weights: Array  # (blocks,)
    known: bool  # the text of the whole page is


def scaled(tables: Sequence[Array]) -> Scale:
    """What is usual in (features, blocks) of pages, by as many blocks drawn from each."""
    rng = np.random.default_rng(0)
    sample = [block_network.magnitudes(table[:, rng.integers(0, table.shape[1], _DRAWN)]) for table in tables]
    every = np.concatenate(sample, axis=1).astype(np.float64)
    return Scale(every.mean(1).astype(np.float32), (SEEN / (every.std(1) + 1e-3)).astype(np.float32))


class _Layer(Module):
    def __init__(self, reach: int) -> None:
        super().__init__()
        self.gates = Linear(_CHANNELS, _GATES)
        self.means = Linear(_GATES * _CHANNELS, _CHANNELS)
        self.near = Linear(3 * _CHANNELS, _CHANNELS)
        self.reach = reach

    def forward(self, found: torch.Tensor, page: torch.Tensor, pages: int) -> torch.Tensor:
        gates = (self.gates(found) + 0.5).clamp(0, 1)
        sums = found.new_zeros(pages, _GATES, _CHANNELS).index_add(0, page, gates[:, :, None] * found[:, None])
        means = sums / (found.new_zeros(pages, _GATES).index_add(0, page, gates) + 1)[:, :, None]
        found = found + self.means(means.flatten(1)).relu()[page]
        reach = self.reach
        same = (page[reach:] == page[:-reach])[:, None]
        before = pad(found[:-reach] * same, (0, 0, reach, 0))
        behind = pad(found[reach:] * same, (0, 0, 0, reach))
        near = self.near(torch.cat((before, found, behind), 1)).relu()
        return found + dropout(near, _DROPOUT, self.training)


class Learner(Module):
    """What ``block_network.Network`` computes, in floating point."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.entry = Linear(features, _CHANNELS)
        self.layers = ModuleList(_Layer(reach) for reach in _REACHES)
        self.odds = Linear(_CHANNELS, 1)

    def forward(self, seen: torch.Tensor, page: torch.Tensor, pages: int) -> torch.Tensor:
        found = dropout(self.entry(seen).relu(), _DROPOUT, self.training)
        for layer in self.layers:
            found = layer(found, page, pages)
        return self.odds(found)[:, 0]

    def network(self) -> Network:
        """The same in whole numbers."""
        layers = tuple(
            block_network.Layer(_between(one.gates), _between(one.means), _between(one.near), one.reach)
            for one in self.layers
        )
        entry = _dense(self.entry, block_network.FARTHEST, SEEN, ONE)
        return Network(entry, layers, _dense(self.odds, MOST, ONE, block_network.UNIT))

    def importance(self) -> Array:
        """(features,) how much the entry makes of each."""
        return self.entry.weight.detach().norm(dim=0).numpy()


def _between(linear: Linear) -> Dense:
    return _dense(linear, MOST, ONE, ONE)


def _dense(linear: Linear, most: int, unit_in: int, unit_out: int) -> Dense:
    return whole(linear.weight.detach().numpy(), linear.bias.detach().numpy(), most, unit_in, unit_out)


def learnt(examples: Sequence[Example], seed: int, epochs: int = _EPOCHS) -> Learner:
    """A network that has learnt from pages, on one core: the same examples and seed give the same one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _learnt(examples, np.random.default_rng(seed), epochs)
    finally:
        torch.set_num_threads(threads)


def _learnt(examples: Sequence[Example], rng: np.random.Generator, epochs: int) -> Learner:
    learner = Learner(len(examples[0].seen))
    optimizer = torch.optim.AdamW(learner.parameters(), lr=_RATE, weight_decay=_DECAY)
    steps = epochs * -(-len(examples) // _PAGES)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps, pct_start=0.15)
    for _ in range(epochs):
        order = rng.permutation(len(examples))
        for first in range(0, len(order), _PAGES):
            batch = [_stretch(examples[at], rng) for at in order[first : first + _PAGES]]
            loss = _loss(learner, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return learner.eval()


def _stretch(example: Example, rng: np.random.Generator) -> Example:
    """A page, or as many blocks of it as are looked at."""
    blocks = len(example.labels)
    first = int(rng.integers(0, max(blocks - _BLOCKS, 0) + 1))
    part = slice(first, first + _BLOCKS)
    weights = example.weights[part] * min(1.0, _HEAVY / min(blocks, _BLOCKS))
    return Example(example.seen[:, part], example.labels[part], weights, example.known)


def _loss(learner: Learner, batch: Sequence[Example]) -> torch.Tensor:
    """Of blocks the cross entropy, and of pages whose text is known what is missing from an F1 of 1 (Dice)."""
    counts = [len(example.labels) for example in batch]
    page = torch.from_numpy(np.repeat(np.arange(len(batch)), counts))
    seen = torch.from_numpy(np.concatenate([example.seen.T for example in batch]).astype(np.float32) / SEEN)
    labels, weights = (
        torch.from_numpy(np.concatenate([getattr(example, name) for example in batch]).astype(np.float32))
        for name in ("labels", "weights")
    )
    odds = learner(seen, page, len(batch))
    missed = binary_cross_entropy_with_logits(odds, labels, weights, reduction="sum") / weights.sum()
    chances = odds.sigmoid()
    both, either = (
        torch.zeros(len(batch)).index_add(0, page, weights * part) for part in (chances * labels, chances + labels)
    )
    known = torch.tensor([example.known for example in batch])
    lacking = torch.where(known, 1 - 2 * both / either.clamp(min=1e-6), 0).mean()
    return missed + _OVERLAP * lacking
