"""How much of what bears a name is main text: class names, ids and roles of templates, learnt from pages of known text.

``hints`` tells by hand what a few words say in any template. Here what a name like ``postbody`` or ``yotpo`` says is
what was seen of it, on other hosts than that of the page it is asked of.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.web.pages.blocks import Places
from stages.web.pages.flat_tree import inherited

Array = np.ndarray[Any, Any]
Columns = dict[str, Any]

WHOLE = 1000
"""The share of a name of which all is main text."""

_PACKED = 1 << 10  # more than a share can be
_NEAR = 3  # elements around the block's own whose names count as near


@dataclass(frozen=True)
class Lexicon:
    """What is known of names."""

    shares: Mapping[str, int]  # of each name that is known, how much of what bears it is main text, up to WHOLE

    def columns(self, places: Places) -> Columns:
        """Features of every block by name, each ``(blocks,)``.

        The least and the greatest share of the names near it and of all around it, and the mean of the nearest element
        of which any name is known. Where none is known, the least is more than WHOLE, the others are -1.
        """
        parent, home = places.parent, places.home
        told = np.fromiter(map(self._read, places.names), np.int64, len(places.names))
        known = told >= 0
        elements, told = places.elements[known], told[known]
        none = len(elements)
        least = np.append(told // _PACKED**2, WHOLE + 1)
        greatest, mean = np.append(told // _PACKED % _PACKED, -1), np.append(told % _PACKED, -1)
        number = np.full(len(parent), none)  # of each element among those of which any name is known
        number[elements] = np.arange(none)
        nearest = np.where(number == none, parent, np.arange(len(parent)))
        while (nearest[nearest] != nearest).any():
            nearest = nearest[nearest]
        around = number[nearest]
        above = np.append(around[parent[elements]], none)
        own = around[home]
        near = [home]
        for _ in range(_NEAR):
            near.append(parent[near[-1]])
        close = number[np.array(near)]
        return {
            "name_near_least": least[close].min(0),
            "name_near_greatest": greatest[close].max(0),
            "name_least": inherited(above, least, np.minimum)[own],
            "name_greatest": inherited(above, greatest, np.maximum)[own],
            "name_nearest": mean[own],
        }

    @functools.cached_property
    def _read(self) -> Any:
        """Of an element's names the least, the greatest and the mean share as one number, or -1; remembered."""
        return functools.lru_cache(1 << 15)(self._told)

    def _told(self, names: tuple[str, ...]) -> int:
        shares = self.shares
        found = [shares[name] for name in names if name in shares]
        return (min(found) * _PACKED + max(found)) * _PACKED + sum(found) // len(found) if found else -1
