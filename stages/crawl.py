"""Bring web pages in as WARC files: from Debian's documentation, Common Crawl, Wikipedia, the web, or files at hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.fingerprint import file_hash
from stages.core.params import params
from stages.core.stage import Metrics, main
from stages.core.takedown import read as read_takedown
from stages.web import likeness
from stages.web.sources import archives, commoncrawl, crawler, debian, folder, text, wikipedia
from stages.web.sources import takedown as takedowns
from stages.web.sources.source import Collected, Source, Wanted
from stages.web.sources.web_crawl import WebCrawl

_SOURCES: dict[str, Source] = {
    "debian-docs": debian.collect,
    "warc": archives.collect,
    "folder": folder.collect,
    "text": text.collect,
    "commoncrawl": commoncrawl.collect,
    "wikipedia": wikipedia.collect,
    "web": crawler.collect,
}


@params
class Params:
    source: Literal["debian-docs", "warc", "folder", "text", "commoncrawl", "wikipedia", "web"]
    """Where pages come from; the section of that name says more."""
    max_pages: NonNegativeInt
    """Pages to take, 0 for all: a sample by seed and URL, so that a larger one holds a smaller one."""
    seed: int
    """Of the sample."""
    shard_mb: PositiveFloat
    """Size of a WARC that is written here, before compression, in MB."""
    allow_private: tuple[str, ...]
    """Networks, such as 10.0.0.0/8, that may be connected to beside the public ones."""
    robots: tuple[str, ...]
    """Names of robots: what a robots.txt forbids any of them is left out of archives that were crawled before, too."""
    debian_docs: debian.DebianDocs
    warc: archives.Warc
    folder: folder.Folder
    text: text.Text
    commoncrawl: commoncrawl.CommonCrawl
    wikipedia: wikipedia.Wikipedia
    web: WebCrawl


def run(
    params: Params, *, incoming: Path, takedown: Path, robots: Path, warcs: Path, withdrawn: Path, manifest: Path
) -> Metrics:
    """Write or copy WARC files, and list them.

    Args:
        incoming: folder that the user puts crawls in
        takedown: list of pages that are to be no part of the build
        robots: folder of <host>.txt, each the robots.txt that a host has now; counts before those in the archives
        warcs: folder for the WARC files
        withdrawn: what was taken down with all that is like it, by the hashes of its runs of words
        manifest: JSON file that lists where they come from, with hashes
    """
    section = params.source.replace("-", "_")
    wanted = Wanted(params.max_pages, params.seed, params.shard_mb, params.allow_private, incoming)
    collected = _SOURCES[params.source](getattr(params, section), wanted)
    unwanted = takedowns.Wanted(read_takedown(takedown), params.robots, robots, captured=params.source == "warc")
    removed = takedowns.remove(collected.built, unwanted)
    metrics = shards.total(one.metrics for one in removed.built)
    if removed.dropped and not metrics["out"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in removed.dropped.items())
        raise HeadwaterError(f"no pages are left of those found: {reasons}; see {takedown}, {robots} and crawl.robots")
    if not metrics.get("out"):
        places = (incoming / one if (incoming / one).exists() else one for one in collected.searched)
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(collected.dropped.items()) if count)
        raise HeadwaterError(
            f"no pages in {', '.join(map(str, places))} that crawl.source {params.source} reads"
            + (f" (dropped: {reasons})" if reasons else "")
            + f": crawl.{section} says where to look"
        )
    shards.publish(removed.built, "warc", warcs)
    likeness.write(withdrawn, removed.named, removed.alike)
    _write_manifest(manifest, params.source, collected, removed.built)
    dropped = {**collected.dropped, **removed.dropped}
    dropped["not_sampled"] = collected.total - metrics["out"] - sum(dropped.values())
    return {**metrics, "in": collected.total, "dropped": dropped, "warcs": len(removed.built)}


def _write_manifest(manifest: Path, source: str, collected: Collected, built: Sequence[shards.Built]) -> None:
    files = [
        {"name": path.name, "bytes": path.stat().st_size, "sha256": file_hash(path), "pages": one.metrics["out"]}
        for one in built
        for path in (one.outputs["warc"],)
    ]
    pages = sum(file["pages"] for file in files)
    listed = {"source": source, "searched": collected.searched, **collected.listed, "pages": pages, "warcs": files}
    manifest.parent.mkdir(parents=True, exist_ok=True)
    told = json.dumps(listed, indent=1, sort_keys=True, ensure_ascii=False)
    manifest.write_text(told + "\n", "utf-8", "backslashreplace")  # names of files need not be UTF-8


if __name__ == "__main__":
    main(run, workers=True)
