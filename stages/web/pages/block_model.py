"""Whether a block is part of a page's main text: what a few networks say on the whole.

Each has learnt from the same pages and begun elsewhere: their mean is better than any.
"""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.errors import HeadwaterError
from stages.web.pages.block_network import UNIT, Dense, Layer, Network, Scale
from stages.web.pages.names import Lexicon
from stages.web.pages.segments import Segments

Array = np.ndarray[Any, Any]

_FILE = "block_model.npz"

_LIMIT = 8 * UNIT  # log odds beyond which a probability does not change


@dataclass(frozen=True)
class Model:
    """Networks, and what they are told."""

    names: tuple[str, ...]  # of features
    scale: Scale
    networks: tuple[Network, ...]
    lexicon: Lexicon
    about: dict[str, Any]  # sets, seeds, versions, figures

    @functools.cached_property
    def wanted(self) -> frozenset[str]:
        """Names of the features that the networks are told."""
        return frozenset(self.names)

    def chances(self, table: Array, pages: Segments) -> Array:
        """Of each block to be main text, in millionths.

        Args:
            table: (features, blocks), float32.
            pages: The blocks of each page.
        """
        seen = self.scale(table)
        odds = sum(network(seen, pages) for network in self.networks) // len(self.networks)
        return _sigmoid()[np.clip(odds, -_LIMIT, _LIMIT) + _LIMIT]


@functools.cache
def load() -> Model:
    """The model of the project.

    Raises:
        HeadwaterError: the file is missing or is not what this code reads.
    """
    path = Path(__file__).with_name(_FILE)
    return read(path)


def read(path: Path) -> Model:
    """A model from its file.

    Raises:
        HeadwaterError: the file is missing or is not a model.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return Model(
                tuple(file["features"].tolist()),
                Scale(file["centre"], file["slope"]),
                tuple(_network(file, number) for number in range(int(file["networks"]))),
                Lexicon(dict(zip(file["names"].tolist(), file["shares"].tolist(), strict=True))),
                json.loads(str(file["about"])),
            )
    except (OSError, ValueError, KeyError) as error:
        raise HeadwaterError(f"{path}: not a model of text blocks ({error}); take the project's own again") from None


def write(model: Model, path: Path) -> None:
    """Store a model without pickle: arrays, names and a JSON text."""
    arrays = {
        "about": np.array(json.dumps(model.about, sort_keys=True)),
        "names": np.array(list(model.lexicon.shares)),
        "shares": np.array(list(model.lexicon.shares.values()), np.int16),
        "features": np.array(model.names),
        "centre": model.scale.centre,
        "slope": model.scale.slope,
        "networks": np.array(len(model.networks)),
    }
    for number, network in enumerate(model.networks):
        arrays[f"{number}.reaches"] = np.array([layer.reach for layer in network.layers])
        for name, dense in _parts(network):
            arrays[f"{number}.{name}.weights"] = dense.weights.astype(np.int32)
            arrays[f"{number}.{name}.bias"] = dense.bias.astype(np.int32)
            arrays[f"{number}.{name}.shift"] = np.array(dense.shift)
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _parts(network: Network) -> Iterator[tuple[str, Dense]]:
    yield "entry", network.entry
    for number, layer in enumerate(network.layers):
        yield f"{number}.gates", layer.gates
        yield f"{number}.means", layer.means
        yield f"{number}.near", layer.near
    yield "odds", network.odds


def _network(file: Any, number: int) -> Network:
    def dense(name: str) -> Dense:
        weights, bias, shift = (file[f"{number}.{name}.{part}"] for part in ("weights", "bias", "shift"))
        return Dense(weights.astype(np.float32), bias.astype(np.float32), int(shift))

    layers = tuple(
        Layer(dense(f"{at}.gates"), dense(f"{at}.means"), dense(f"{at}.near"), reach)
        for at, reach in enumerate(file[f"{number}.reaches"].tolist())
    )
    return Network(dense("entry"), layers, dense("odds"))


@functools.cache
def _sigmoid() -> Array:
    """Chance in millionths by log odds from -_LIMIT to _LIMIT."""
    odds = np.arange(-_LIMIT, _LIMIT + 1) / UNIT
    return np.round(1e6 / (1 + np.exp(-odds))).astype(np.int64)
