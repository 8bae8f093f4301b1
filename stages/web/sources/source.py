"""What every source of a crawl is asked for, and what it gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from stages.core import shards


@dataclass(frozen=True)
class Wanted:
    """What holds for every source."""

    max_pages: int
    """Pages to take, 0 for all."""
    seed: int
    """Of the sample."""
    shard_mb: float
    """Size of a WARC that is written here, before compression, in MB."""
    allow_private: tuple[str, ...]
    """Networks beside the public ones that may be connected to."""
    incoming: Path
    """The folder that the user puts crawls in, and DVC watches."""


@dataclass(frozen=True)
class Collected:
    """The WARCs of a source."""

    built: list[shards.Built]
    """Output ``warc``; ``metrics["out"]`` counts its pages."""
    total: int
    """Pages seen, those left out too."""
    searched: tuple[str, ...]
    """Where pages were looked for, in the words of params.yaml."""
    listed: Mapping[str, Any] = field(default_factory=dict)
    """For the manifest: where the pages come from, with versions and hashes."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Pages left out, by reason; those that were only not sampled are not among them."""


class Source(Protocol):
    """How a source is called: with its section of params.yaml, and what holds for all."""

    def __call__(self, section: Any, wanted: Wanted, /) -> Collected: ...
