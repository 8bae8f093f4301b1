"""Documents that a user brings as examples: text files, and rows of JSON lines and Parquet with a field ``text``."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from stages.core import arrow
from stages.core.errors import HeadwaterError

SUFFIXES = (".txt", ".jsonl", ".parquet")


def files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files that ``names`` mean in ``folder``: files themselves, and all that lie in folders, sorted.

    Raises:
        HeadwaterError: a name has nothing to read.
    """
    found: set[Path] = set()
    for name in names:
        path = folder / name
        below = [path] if path.is_file() else [one for one in path.rglob("*") if one.suffix in SUFFIXES]
        if not below:
            raise HeadwaterError(f"{path}: no {', '.join(SUFFIXES)} file here, and params.yaml names it")
        found.update(below)
    return sorted(found)


def read(path: Path) -> Iterator[str]:
    """The texts of one file.

    Raises:
        HeadwaterError: the file is not what its suffix says, or has no ``text``.
    """
    try:
        if path.suffix == ".jsonl":
            with path.open(encoding="utf-8") as lines:
                for line in filter(str.strip, lines):
                    text = json.loads(line)["text"]
                    if not isinstance(text, str | None):
                        raise ValueError(f"the text of a row is {text!r:.40}")
                    if text:
                        yield text
        elif path.suffix == ".parquet":
            with arrow.undamaged(path, "no examples of text"), pq.ParquetFile(path) as table:
                for batch in table.iter_batches(1024, columns=["text"]):
                    yield from filter(None, batch["text"].to_pylist())
        else:
            yield path.read_text("utf-8")
    except (ValueError, KeyError, TypeError) as error:
        raise HeadwaterError(f"{path}: no examples of text: {' '.join(str(error).split())}") from None
