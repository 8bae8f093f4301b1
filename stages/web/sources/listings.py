"""Lists of what a WARC is made from: the inputs of the units that write one."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.core import shards
from stages.core.runtime import profile


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for lists while units are built: in the work area, which every machine of a cluster sees."""
    parent = profile().work / "crawl-lists"
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as name:
        yield Path(name)


def unit(area: Path, name: str, rows: Any) -> shards.Unit:
    """A unit that reads ``rows``, as JSON, and writes ``<name>.warc.gz``."""
    listing = area / f"{name}.json"
    listing.write_text(json.dumps(rows), "utf-8")
    return shards.Unit((listing,), {"warc": f"{name}.warc.gz"})
