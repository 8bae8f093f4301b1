"""The web as a source: a polite crawl from seed URLs, made once for its parameters and then kept."""

import hashlib
import json
import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.params import as_json
from stages.core.progress import log
from stages.web.sources import intake, listings, sampling
from stages.web.sources.addresses import networks
from stages.web.sources.capture_store import CaptureStore
from stages.web.sources.source import Collected, Wanted
from stages.web.sources.web_crawl import WebCrawl


def collect(section: WebCrawl, wanted: Wanted) -> Collected:
    """The pages of the crawl in the order of their URLs; a crawl that was stopped goes on where it was."""
    _check(section)
    networks(wanted.allow_private)
    area = shards.area("crawl-web", hashlib.blake2b(as_json(section).encode(), digest_size=16).hexdigest())
    finished = area / "finished.json"
    if finished.exists():
        log(f"this crawl was made already and is taken as it is: {area}; another crawl.web.visit crawls anew")
    else:
        _crawl(section, wanted, area / "captures.warc.gz")
    result = json.loads(finished.read_text("utf-8"))
    if not result["pages"]:
        finished.unlink()
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(result["dropped"].items()))
        raise HeadwaterError(f"no page came from {', '.join(section.seeds)} ({reasons or 'nothing was there'})")
    with listings.folder() as lists:
        units = _units(area / "captures.warc.gz", result["pages"], wanted, lists)
        built = shards.build(intake.gather, None, units, label="crawl", count="pages")
    pages = sum(one.metrics["out"] for one in built)
    dropped = {**result["dropped"], "no_text": len(result["pages"]) - pages}
    if wanted.max_pages:
        built = intake.sampled([one.outputs["warc"] for one in built], wanted)
    listed = {"visit": section.visit}
    return Collected(built, pages + sum(dropped.values()), section.seeds, listed, dropped)


def _check(section: WebCrawl) -> None:
    if not section.seeds:
        raise HeadwaterError("params.yaml: crawl.web.seeds is empty: name the URLs to begin at")
    for seed in section.seeds:
        try:
            parts = urlsplit(seed)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise HeadwaterError(f"params.yaml: crawl.web.seeds: {seed!r} is no URL; write https://example.org/")


def _crawl(section: WebCrawl, wanted: Wanted, store: Path) -> None:
    """Run the crawler in a process of its own."""
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_run, args=(store, section, wanted.allow_private, there))
    process.start()
    there.close()
    process.join()
    here.close()
    if not store.with_name("finished.json").exists():
        raise HeadwaterError("the crawl was stopped; what has come is kept: run again to go on")


def _run(store: Path, section: WebCrawl, allow_private: Sequence[str], parent: Any) -> None:
    from stages.web.sources import spider

    spider.crawl(store, section, allow_private, parent)


def _units(store: Path, urls: Sequence[str], wanted: Wanted, area: Path) -> list[shards.Unit]:
    """The pages of the crawl in groups, in the order of their URLs; units for ``intake.gather``."""
    with CaptureStore(store) as captures:
        pages = []
        for url in sorted(set(urls)):
            record, place = captures.record(url), captures.stored.get(url)
            if record is not None and place is not None and intake.is_page(record):
                digest = record.headers["warc-block-digest"]
                row = {"path": str(store), "offset": place.offset, "length": place.length, "digest": digest}
                pages.append((url, len(record.body), row))
    groups = sampling.groups(pages, int(wanted.shard_mb * 1e6))
    return [listings.unit(area, f"web-{name}", rows) for name, rows in groups]
