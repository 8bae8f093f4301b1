"""Sites at hand to WARC files of about equal size, so that the stages behind work in parallel."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stages.core import shards
from stages.core.fingerprint import file_hash
from stages.web import captures, sampling
from stages.web.folder import File, Site, capture, files


def plan(
    sites: Mapping[str, Site], count: int, seed: int, shard_mb: float, area: Path
) -> tuple[list[shards.Unit], int]:
    """Units for :func:`write`, named for their site, and how many pages there are before sampling.

    Args:
        sites: Name to site.
        count: Pages to take, 0 for all.
        seed: Of the sample.
        shard_mb: Size of a WARC before compression, in MB.
        area: A folder for the lists of pages that are the units' inputs.
    """
    found = {name: list(files(site)) for name, site in sites.items()}
    ranked = ((sampling.rank(seed, file.url), file.url) for pages in found.values() for file in pages)
    chosen = sampling.lowest(ranked, count)
    units = []
    for name, pages in found.items():
        sampled = [file for file in pages if file.url in chosen]
        for number, group in enumerate(_groups(sampled, shard_mb * 1e6)):
            listing = area / f"{name}-{number:05}.json"
            rows = [{"url": file.url, "path": str(file.path), "sha256": file_hash(file.path)} for file in group]
            listing.write_text(json.dumps(rows), "utf-8")
            units.append(shards.Unit(inputs=(listing,), outputs={"warc": f"{name}-{number:05}.warc.gz"}))
    return units, sum(map(len, found.values()))


def _groups(pages: Sequence[File], size: float) -> Iterator[list[File]]:
    group: list[File] = []
    total = 0
    for file in pages:
        group.append(file)
        total += file.size
        if total >= size:
            yield group
            group, total = [], 0
    if group:
        yield group


def write(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Write the pages of a list to one WARC."""
    rows = json.loads(inputs[0].read_text("utf-8"))
    pages = (capture(File(row["url"], Path(row["path"]))) for row in rows)
    count = captures.write(outputs["warc"], pages, inputs[0].stem)
    return {"in": count, "out": count}
