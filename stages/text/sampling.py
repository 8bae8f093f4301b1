"""Which rows are learned from and which are measured on: drawn by hash, so that no row's fate depends on the others."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import PositiveInt

from stages.core.errors import HeadwaterError
from stages.core.params import LesserShare, params
from stages.text import tables
from stages.text.tables import Columns, Row


@params
class Measured:
    """Rows that are measured on after training, and not trained on."""

    file: str
    """Name of a file in incoming/finetune that holds them; empty: none."""
    share: LesserShare
    """Of the other rows, drawn by seed."""


@params
class Wanted:
    """Which rows, and where in them is what."""

    most: PositiveInt
    """How many are taken at most; of more, a sample is drawn by seed."""
    test: Measured
    """What is measured on."""
    columns: Columns
    """Names of the columns, of rows that are brought."""
    labels: tuple[str, ...]
    """Of classify and tag: all that there may be; none takes those that there are."""


class Sourced(Protocol):
    """What says where it comes from."""

    @property
    def source(self) -> str:
        """File and row, or document and heading."""


Item = TypeVar("Item", bound=Sourced)


@dataclass
class Given(Generic[Item]):
    """What there is to learn from."""

    learned: list[Item]
    """In the order of the draw."""
    tested: list[Item]
    """To be measured on, and not learned from."""
    seen: int
    """Rows from which those learned were drawn."""
    dropped: dict[str, int]
    """Why the others were not."""
    paths: tuple[Path, ...]
    """The files."""


def draw_key(source: str, seed: int) -> int:
    """A random number that depends on nothing but source and seed: what comes or goes beside it does not matter."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{source}".encode(), digest_size=8).digest(), "big")


def draw(rows: Iterable[Item], most: int, seed: int) -> list[Item]:
    """At most ``most`` of the rows, drawn by a hash of seed and source, in the order of the draw."""
    return sorted(rows, key=lambda row: draw_key(row.source, seed))[:most]


def gather(folder: Path, wanted: Wanted, seed: int, one: Callable[[Row, Columns], Item]) -> Given[Item]:
    """The rows that a user brings.

    Args:
        folder: With their files.
        wanted: Which of them.
        seed: Of the draw.
        one: Makes of a row what is learned.

    Raises:
        HeadwaterError: there are no files, or a row is not as it should be; names file and row.
    """
    paths, held = tables.files(folder, wanted.test.file)
    rows, apart = ([one(row, wanted.columns) for row in tables.read(some, wanted.columns)] for some in (paths, held))
    for some, files in ((rows, paths), (apart, held)):
        if files and not some:
            raise HeadwaterError(f"{', '.join(map(str, files))}: no rows")
    given = deal(rows, wanted, seed, paths)
    given.tested += apart
    given.paths += tuple(held)
    return given


def deal(rows: Sequence[Item], wanted: Wanted, seed: int, paths: Sequence[Path]) -> Given[Item]:
    """Rows, as many as are wanted, as those learned and the share that is measured on."""
    drawn = draw(rows, wanted.most, seed)
    held = round(wanted.test.share * len(drawn))
    dropped = {"not_sampled": len(rows) - len(drawn)} | ({"tested": held} if held else {})
    return Given(drawn[held:], drawn[:held], len(rows), dropped, tuple(paths))
