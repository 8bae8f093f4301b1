"""Archives at hand to the WARCs of this crawl: taken in byte for byte, or only the pages that are sampled."""

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.core import shards
from stages.core.progress import log
from stages.web.records import http, warc
from stages.web.sources import captures, listings, sampling
from stages.web.sources.source import Wanted

MAX_BYTES = 64 << 20
"""Of a record that is looked at to count pages, check digests and sample; what is larger is left for `extract`."""


def take_all(paths: Sequence[Path], wanted: Wanted, *, ours: bool) -> list[shards.Built]:
    """The archives as they are, or a sample of their pages; says what of them could not be read.

    Args:
        paths: Archives, in order.
        ours: Whether they lie in the work area, so that a link serves; else they are the user's and are copied.
    """
    named = names(paths)
    if wanted.max_pages:
        built = sampled(paths, wanted)
    else:
        units = [shards.Unit((path,), {"warc": name}) for path, name in zip(paths, named, strict=True)]
        built = shards.build(link if ours else copy, None, units, label="crawl", count="pages")
    for name, one in zip(named, built, strict=True):
        if lost := one.metrics["lost"]["bytes"]:
            log(f"{name}: {lost:,} bytes could not be read, {one.metrics['in']:,} pages could")
        if wrong := one.metrics.get("digests", {}).get("wrong", 0):
            log(f"{name}: {wrong:,} records are not what their digests say")
    return built


def sampled(paths: Sequence[Path], wanted: Wanted) -> list[shards.Built]:
    """The pages of lowest rank over all archives, each archive rewritten with what is left of it."""
    units = [shards.Unit((path,), {"index": "index.json"}) for path in paths]
    indexed = shards.build(index, wanted.seed, units, label="crawl-index", count="pages")
    ranks = [json.loads(one.outputs["index"].read_text("utf-8")) for one in indexed]
    pages = ((rank, (file, number)) for file, ranked in enumerate(ranks) for rank, number in ranked)
    chosen = sampling.lowest(pages, wanted.max_pages)
    units = []
    with listings.folder() as area:
        for file, (path, name) in enumerate(zip(paths, names(paths), strict=True)):
            listing = area / f"{file:05}.json"
            listing.write_text(json.dumps([number for _, number in ranks[file] if (file, number) in chosen]), "utf-8")
            units.append(shards.Unit((path, listing), {"warc": rewritten_name(name, file)}))
        return shards.build(sample, None, units, label="crawl", count="pages")


def names(paths: Sequence[Path]) -> list[str]:
    """A file name for each path, safe and unique; a second a.warc.gz becomes a-2.warc.gz."""
    given: dict[str, None] = {}
    for path in paths:
        stem, dot, suffix = safe(path.name).partition(".")
        name, number = stem + dot + suffix, 2
        while name in given:
            name, number = f"{stem}-{number}{dot}{suffix}", number + 1
        given[name] = None
    return list(given)


def rewritten_name(name: str, number: int) -> str:
    """A name for an archive that is written again, the one of that number; unique where the numbers are."""
    stem = re.sub(r"(\.w?arc|\.wet)*(\.gz|\.zst)?$", "", name, flags=re.IGNORECASE)
    return f"{stem}-{number:05}.warc.gz"


def safe(name: str) -> str:
    """A name that comes from elsewhere as one for a file."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".-") or "archive"


def copy(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Copy an archive as it is, and count its pages. Never a link: what DVC stores becomes read-only."""
    shutil.copyfile(inputs[0], outputs["warc"])
    return _counted(inputs[0])


def link(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """The same by a link, for an archive that is in the work area already."""
    os.link(inputs[0], outputs["warc"])
    return _counted(inputs[0])


def _counted(path: Path) -> shards.Metrics:
    loss = warc.Loss()
    count = 0
    digests: Counter[str] = Counter(checked=0, wrong=0)
    for record in warc.read(path, MAX_BYTES, loss):
        count += is_page(record)
        stated = record.headers.get("warc-block-digest", "")
        right = None if record.problem else captures.agrees(stated, record.body)
        digests["checked"] += right is not None
        digests["wrong"] += right is False
    return {"in": count, "out": count, "lost": loss.counts, "digests": dict(digests)}


def gather(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Write the members that a JSON list names by path, offset and length to one archive."""
    rows = json.loads(inputs[0].read_text("utf-8"))
    with outputs["warc"].open("wb") as target:
        for row in rows:
            with Path(row["path"]).open("rb") as source:
                source.seek(row["offset"])
                target.write(source.read(row["length"]))
    return {"in": len(rows), "out": len(rows)}


def index(seed: int, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Write the rank of every page of an archive, with the number of its record, as JSON."""
    records = warc.read(inputs[0], MAX_BYTES, warc.Loss())
    ranks = [
        (sampling.rank(seed, f"{record.url} {record.date}"), number)
        for number, record in enumerate(records)
        if is_page(record)
    ]
    outputs["index"].write_text(json.dumps(ranks), "utf-8")
    return {"in": len(ranks), "out": len(ranks)}


def sample(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Write the records of an archive (first input) whose numbers are in a JSON list (second) to a new one."""
    chosen = set(json.loads(inputs[1].read_text("utf-8")))
    loss = warc.Loss()
    found = 0
    with outputs["warc"].open("wb") as file:
        for number, record in enumerate(warc.read(inputs[0], MAX_BYTES, loss)):
            found += is_page(record)
            if number in chosen:
                file.write(captures.member(rewritten(record)))
    return {"in": found, "out": len(chosen), "dropped": {"not_sampled": found - len(chosen)}, "lost": loss.counts}


def is_page(record: warc.Record) -> bool:
    """Whether a record holds a page or a text, whole and of a kind that extract reads."""
    return (
        record.kind in ("response", "resource", "conversion")
        and not record.problem
        and not isinstance(http.page(record, MAX_BYTES), str)
    )


def rewritten(record: warc.Record) -> bytes:
    """The record again, with its own headers; one from an ARC as WARC. It reads as before: what was no page is none."""
    headers = record.headers
    if "warc-type" not in headers and record.kind:  # of an ARC; a record of a WARC without a type has no kind either
        headers = {"warc-type": record.kind, "warc-target-uri": record.url, "warc-date": record.date}
        headers["content-type"] = "application/http" if record.body[:5] == b"HTTP/" else record.headers["content-type"]
        if record.kind == "response" and headers["content-type"] != "application/http":
            headers["warc-type"] = "resource"
    # A block that was cut off stays cut off.
    missing = record.problem in ("truncated", "damaged")
    headers = {**headers, "content-length": str(len(record.body) + missing)}
    lines = ["WARC/1.1", *(f"{_spelt(name)}: {value}" for name, value in headers.items())]
    ending = b"" if missing else b"\r\n\r\n"
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + record.body + ending


def _spelt(name: str) -> str:
    """A header name as the standard spells it; some readers mind, though they should not."""
    capitals = {"warc": "WARC", "uri": "URI", "id": "ID", "ip": "IP"}
    return "-".join(capitals.get(part, part.capitalize()) for part in name.split("-"))
