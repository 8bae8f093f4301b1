"""Archives that others made, as a source: found by path, glob or URL."""

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.web.sources import intake, locations
from stages.web.sources.source import Collected, Wanted

_ARCHIVE = re.compile(r".*\.(w?arc(\.wet)?|wet)(\.(gz|zst|bz2|lz4|xz))?", re.IGNORECASE | re.DOTALL)

# Hardly an archive is compressed so; the others by their first bytes.
_REFUSED = {b"BZh": "bzip2", b"\x04\x22\x4d\x18": "lz4", b"\xfd7zXZ": "xz"}


@params
class Warc:
    """Archives that exist."""

    paths: tuple[str, ...]
    """Files, folders and globs, absolute or relative to incoming/crawl, and URLs that fsspec understands."""


def collect(section: Warc, wanted: Wanted) -> Collected:
    """The archives at ``paths`` as they are, or a sample of their pages."""
    found = locations.locate("warc", section.paths, _ARCHIVE, wanted)
    _check(found)
    built = intake.take_all(list(found), wanted, ours=all(found.values()))
    return Collected(built, sum(one.metrics["in"] for one in built), section.paths)


def _check(paths: Iterable[Path]) -> None:
    for path in paths:
        with path.open("rb") as file:
            start = file.read(8)
        for magic, program in _REFUSED.items():
            if start.startswith(magic):
                raise HeadwaterError(
                    f"{path}: archives compressed with {program} are not read; make it gzip: "
                    f"{program} -dc {shlex.quote(path.name)} | gzip > {shlex.quote(path.with_suffix('.gz').name)}"
                )
