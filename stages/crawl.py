"""Bring web pages in as WARC files: Debian's documentation packages, archives at hand, or a folder of HTML."""

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.fingerprint import file_hash
from stages.core.params import params
from stages.core.progress import log
from stages.core.stage import Metrics, main
from stages.web import archives, debian, sampling, sites
from stages.web.folder import Site


@params
class DebianDocs:
    """Packages of the Debian or Ubuntu release that this machine runs."""

    packages: tuple[str, ...]
    """Names of packages that hold HTML; apt fetches them without root."""


@params
class Warc:
    """Archives that exist."""

    paths: tuple[str, ...]
    """Files, folders and globs, absolute or relative to incoming/crawl, and URLs that fsspec understands."""


@params
class Folder:
    """A tree of HTML files."""

    root: str
    """Its path, absolute or relative to incoming/crawl."""
    base_url: str
    """Where the root would be found on the web."""


@params
class Params:
    source: Literal["debian-docs", "warc", "folder"]
    """Where pages come from; the section of that name says more."""
    max_pages: int
    """Pages to take, 0 for all: a sample by seed and URL, so that a larger one holds a smaller one."""
    seed: int
    """Of the sample."""
    shard_mb: float
    """Size of a WARC that is written here, before compression, in MB."""
    debian_docs: DebianDocs
    warc: Warc
    folder: Folder


def run(params: Params, *, incoming: Path, warcs: Path, manifest: Path) -> Metrics:
    """Write or copy WARC files, and list them.

    Args:
        incoming: folder that the user puts crawls in
        warcs: folder for the WARC files
        manifest: JSON file that lists where they come from, with hashes
    """
    found: dict[str, Any]
    if params.source == "debian-docs":
        built, total, found = _debian(params)
    elif params.source == "folder":
        built, total, found = _folder(params, incoming)
    else:
        built, total, found = _archives(params, incoming)
    metrics = shards.total(one.metrics for one in built)
    if not metrics.get("out"):
        raise HeadwaterError(
            f"no pages in {', '.join(found['searched'])}: crawl.{params.source.replace('-', '_')} says where to look"
        )
    shards.publish(built, "warc", warcs)
    files = [
        {"name": path.name, "bytes": path.stat().st_size, "sha256": file_hash(path), "pages": one.metrics["out"]}
        for one in built
        for path in (one.outputs["warc"],)
    ]
    listed = {"source": params.source, **found, "pages": metrics["out"], "warcs": files}
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps(listed, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    return {**metrics, "in": total, "dropped": {"not_sampled": total - metrics["out"]}, "warcs": len(built)}


def _debian(params: Params) -> tuple[list[shards.Built], int, dict[str, Any]]:
    area = shards.area("crawl-debian", "apt")
    packages = debian.fetch(params.debian_docs.packages, area)
    # .invalid is reserved (RFC 2606): no one can take these for addresses that were fetched.
    found = {
        package.name: Site(debian.unpack(package, area), f"http://{_host(package.name)}.debian.invalid/")
        for package in packages
    }
    versions = [{"name": one.name, "version": one.version, "sha256": one.sha256} for one in packages]
    built, total = _write(params, found)
    return built, total, {"packages": versions, "searched": [one.name for one in packages]}


def _host(package: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", package).strip("-")


def _folder(params: Params, incoming: Path) -> tuple[list[shards.Built], int, dict[str, Any]]:
    root = incoming / params.folder.root
    if not root.is_dir():
        raise HeadwaterError(f"crawl.folder.root: {root} is no folder")
    if not root.resolve().is_relative_to(incoming.resolve()):
        log(f"{root} lies outside {incoming}: DVC does not watch it; `dvc repro -f crawl` takes it in again")
    built, total = _write(params, {"folder": Site(root, params.folder.base_url.rstrip("/") + "/")})
    return built, total, {"searched": [params.folder.root]}


def _write(params: Params, found: dict[str, Site]) -> tuple[list[shards.Built], int]:
    with tempfile.TemporaryDirectory() as lists:
        units, total = sites.plan(found, params.max_pages, params.seed, params.shard_mb, Path(lists))
        return shards.build(sites.write, None, units, label="crawl", count="pages"), total


def _archives(params: Params, incoming: Path) -> tuple[list[shards.Built], int, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        found = archives.locate(params.warc.paths, incoming, Path(folder))
        names = archives.names(found)
        if params.max_pages:
            built = _sample(params, found, names, Path(folder))
        else:
            units = [shards.Unit((path,), {"warc": name}) for path, name in zip(found, names, strict=True)]
            built = shards.build(archives.take, None, units, label="crawl", count="pages")
    for name, one in zip(names, built, strict=True):
        if lost := one.metrics["lost"]["bytes"]:
            log(f"{name}: {lost:,} bytes could not be read, {one.metrics['in']:,} pages could")
    return built, sum(one.metrics["in"] for one in built), {"searched": list(params.warc.paths)}


def _sample(params: Params, found: Sequence[Path], names: Sequence[str], area: Path) -> list[shards.Built]:
    """The pages of lowest rank over all archives, each archive rewritten with what is left of it."""
    units = [shards.Unit((path,), {"index": "index.json"}) for path in found]
    indexed = shards.build(archives.index, params.seed, units, label="crawl-index", count="pages")
    ranks = [json.loads(one.outputs["index"].read_text("utf-8")) for one in indexed]
    pages = ((rank, (file, number)) for file, ranked in enumerate(ranks) for rank, number in ranked)
    chosen = sampling.lowest(pages, params.max_pages)
    units = []
    for file, (path, name) in enumerate(zip(found, names, strict=True)):
        listing = area / f"{file:05}.json"
        listing.write_text(json.dumps([number for _, number in ranks[file] if (file, number) in chosen]), "utf-8")
        stem = re.sub(r"(\.w?arc|\.wet)?(\.gz|\.zst)?$", "", name, flags=re.IGNORECASE)
        units.append(shards.Unit((path, listing), {"warc": f"{stem}-{file:05}.warc.gz"}))
    return shards.build(archives.sample, None, units, label="crawl", count="pages")


if __name__ == "__main__":
    main(run)
