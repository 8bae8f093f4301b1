"""Archives that others made, as a source: found by path, glob or URL."""

import re

from stages.core.params import params
from stages.web.sources import intake, locations
from stages.web.sources.source import Collected, Wanted

_ARCHIVE = re.compile(r".*\.w?arc(\.wet)?(\.gz|\.zst)?|.*\.wet(\.gz|\.zst)?", re.IGNORECASE | re.DOTALL)


@params
class Warc:
    """Archives that exist."""

    paths: tuple[str, ...]
    """Files, folders and globs, absolute or relative to incoming/crawl, and URLs that fsspec understands."""


def collect(section: Warc, wanted: Wanted) -> Collected:
    """The archives at ``paths`` as they are, or a sample of their pages."""
    found = locations.locate("warc", section.paths, _ARCHIVE, wanted)
    built = intake.take_all(list(found), wanted, ours=all(found.values()))
    return Collected(built, sum(one.metrics["in"] for one in built), section.paths)
