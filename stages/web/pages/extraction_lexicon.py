"""What names of templates tell of main text, counted on pages of which it is known, each host as much as any other."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from stages.web.pages import names
from stages.web.pages.blocks import Places

Array = np.ndarray[Any, Any]
Counts = dict[str, tuple[float, float]]

_HOSTS = 4  # that must have a name before it is known
_PRIOR = 2.0  # hosts' worth of ordinary text that every name is mixed with
_IN_FULL = 0.05  # share of a host's pages from which on it counts in full


def borne(places: Places, spans: Array, labels: Array, weights: Array) -> Counts:
    """Of each name of a page: how much of the page what bears it holds, and how much of that is main text; 0-1.

    Args:
        places: Where names stand in the page.
        spans: (2, named) first block in each of those elements, and block behind its last.
        labels: (blocks,) how much of each is main text, 0-1.
        weights: (blocks,)
    """
    held = np.append(0, np.cumsum(weights)) / weights.sum()
    main = np.append(0, np.cumsum(weights * labels)) / weights.sum()
    found: Counts = {}
    until: dict[str, int] = {}
    for low, high, named in zip(*spans.tolist(), places.names, strict=True):
        for name in dict.fromkeys(named):
            if low >= until.get(name, 0):  # else it lies within another that bears the name
                until[name] = high
                before = found.get(name, (0.0, 0.0))
                found[name] = (before[0] + held[high] - held[low], before[1] + main[high] - main[low])
    return found


class Counted:
    """The names of many hosts.

    Args:
        pages: Host and :func:`borne` of each page.
    """

    def __init__(self, pages: Iterable[tuple[str, Counts]]) -> None:
        by_host: dict[str, list[Counts]] = defaultdict(list)
        for host, counts in pages:
            by_host[host].append(counts)
        self._hosts = {host: _together(counts) for host, counts in by_host.items()}
        self._total: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        for counts in self._hosts.values():
            for name, (held, main) in counts.items():
                sums = self._total[name]
                sums[0] += held
                sums[1] += main
                sums[2] += 1
        total = sorted(self._total.items())
        self._usual = sum(main for _, (_, main, _) in total) / sum(held for _, (held, _, _) in total)
        self._known = {name: self._share(held, main) for name, (held, main, hosts) in total if hosts >= _HOSTS}

    def lexicon(self, without: str | None = None) -> names.Lexicon:
        """What all hosts tell but one, whose pages must not be told what they hold."""
        known = dict(self._known)
        excepted = {} if without is None else self._hosts.get(without, {})
        for name, (held, main) in excepted.items():
            if name in known:
                total = self._total[name]
                known[name] = self._share(total[0] - held, total[1] - main)
                if total[2] == _HOSTS:
                    del known[name]
        return names.Lexicon(known)

    def _share(self, held: float, main: float) -> int:
        return round(names.WHOLE * (main + _PRIOR * self._usual) / (held + _PRIOR))


def _together(pages: Sequence[Mapping[str, tuple[float, float]]]) -> Counts:
    """What a host tells of each name: as what counts for one page, less where few of its pages hold little of it."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for page in pages:
        for name, (held, main) in page.items():
            sums[name][0] += held
            sums[name][1] += main
    counts = {name: min(1.0, held / len(pages) / _IN_FULL) for name, (held, _) in sums.items() if held > 0}
    return {name: (count, count * sums[name][1] / sums[name][0]) for name, count in counts.items()}
