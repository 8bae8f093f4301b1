"""Pages that are not to be part of a build: archives of a crawl without the captures that a list or a site names.

A list names captures, texts, and what is like them; a robots.txt names paths: one that the crawl itself holds, the
latest of a host, or one that was put in a folder later, which counts before it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stages.core import arrow, shards
from stages.core.takedown import Takedown, host
from stages.web import likeness
from stages.web.records import http, warc
from stages.web.robots import Robots
from stages.web.sources import captures, intake, listings, page_texts


@dataclass(frozen=True)
class Wanted:
    """What is to go."""

    listed: Takedown
    agents: tuple[str, ...]
    """Robots whose robots.txt is heeded."""
    refreshed: Path
    """Folder of files ``<host>.txt``, each the robots.txt of a host."""
    captured: bool
    """Whether the archives can hold a robots.txt, too: those that are written here have none."""

    @property
    def robots(self) -> bool:
        """Whether there can be a robots.txt to heed."""
        return bool(self.agents) and (self.captured or bool(shards.files(self.refreshed, "*.txt")))


@dataclass
class Removed:
    """What is left, and what went."""

    built: list[shards.Built]
    dropped: dict[str, int] = field(default_factory=dict)
    """Pages that went, by reason."""
    named: list[likeness.Target] = field(default_factory=list)
    """Pages whose likes went too."""
    alike: list[tuple[str, str, float]] = field(default_factory=list)
    """Those: id, id of the named page, similarity."""


def remove(built: list[shards.Built], wanted: Wanted) -> Removed:
    """The archives, those that hold something that is to go written again without it, as ``dropped`` counts.

    What an archive holds is listed once; a list that grows touches only the archives with its new entries.

    Args:
        built: Output ``warc``, as every source gives it.
        wanted: What is to go.
    """
    listed = wanted.listed
    if not (listed.pages or listed.texts or wanted.robots):
        return Removed(built)
    paths = [one.outputs["warc"] for one in built]
    units = [shards.Unit((path,), {"captures": "captures.jsonl", "robots": "robots.jsonl"}) for path in paths]
    indexed = shards.build(index, None, units, label="crawl-captures", count="records")
    result = Removed(built)
    texts = _texts(paths) if listed.texts or listed.similar else []
    said = _with_text(texts, listed.texts)
    result.named = list(_targets(indexed, texts, listed, said)) if listed.similar else []
    result.alike = _alike(texts, result.named) if result.named else []
    reasons = {identity: "takedown_similar" for identity, _, _ in result.alike} | dict.fromkeys(said, "takedown")
    forbidden = _robots(indexed, wanted) if wanted.robots else {}
    found = {
        at: numbers
        for at, one in enumerate(indexed)
        if (numbers := list(_reasons(one.outputs["captures"], wanted, reasons, forbidden)))
    }
    again = _rewritten(built, found)
    result.built = [again.get(at, one) for at, one in enumerate(built)]
    result.dropped = shards.total(one.metrics["dropped"] for one in again.values())
    return result


def index(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """URL and id of every record of an archive, in order, as JSON lines; and each robots.txt: host, date, text."""
    count = 0
    with (
        outputs["captures"].open("w", encoding="utf-8") as file,
        outputs["robots"].open("w", encoding="utf-8") as rules,
    ):
        for record in warc.read(inputs[0], intake.MAX_BYTES, warc.Loss()):
            count += 1
            print(json.dumps([record.url, record.identity]), file=file)
            if record.url.endswith("/robots.txt") and _path(record.url) == "/robots.txt":
                page = http.page(record, intake.MAX_BYTES)
                if not isinstance(page, str):
                    print(json.dumps([host(record.url), record.date, page.body.decode("latin-1")]), file=rules)
    return {"in": count, "out": count}


def without(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Write the records of an archive (first input) to a new one, but those of a JSON list (second): number, reason."""
    named: dict[int, str] = dict(json.loads(inputs[1].read_text("utf-8")))
    pages = kept = 0
    loss, dropped = warc.Loss(), dict.fromkeys(sorted(set(named.values())), 0)
    with outputs["warc"].open("wb") as file:
        for number, record in enumerate(warc.read(inputs[0], intake.MAX_BYTES, loss)):
            is_page = intake.is_page(record)
            pages += is_page
            if number in named:
                dropped[named[number]] += is_page
            elif record.problem != "unreadable":
                kept += is_page
                file.write(captures.member(intake.rewritten(record)))
    return {"in": pages, "out": kept, "dropped": dropped, "lost": loss.counts}


def _texts(paths: Sequence[Path]) -> list[Path]:
    units = [shards.Unit((path,), {"texts": "texts.parquet"}) for path in paths]
    return [
        one.outputs["texts"] for one in shards.build(page_texts.sign, None, units, label="crawl-texts", count="pages")
    ]


def _with_text(texts: Sequence[Path], wanted: frozenset[str]) -> dict[str, str]:
    """Id to hash of the pages with one of those texts."""
    found: dict[str, str] = {}
    for path in texts if wanted else []:
        columns = (arrow.read(path, [name])[name].to_pylist() for name in ("id", "text_hash"))
        found |= {identity: said for identity, said in zip(*columns, strict=True) if said in wanted}
    return found


def _targets(
    indexed: Sequence[shards.Built], texts: Sequence[Path], listed: Takedown, said: Mapping[str, str]
) -> Iterator[likeness.Target]:
    for one, path in zip(indexed, texts, strict=True):
        limits = {
            identity: limit
            for url, identity in _captures(one.outputs["captures"])
            if (limit := listed.threshold(url, identity, said.get(identity, ""))) is not None
        }
        yield from (likeness.Target(one, limits[one], own) for one, own in page_texts.signed(path, list(limits)))


def _alike(texts: Sequence[Path], named: Sequence[likeness.Target]) -> list[tuple[str, str, float]]:
    with listings.folder() as area:
        likeness.write(area / "named.parquet", named, [])
        units = [shards.Unit((path, area / "named.parquet"), {"alike": "alike.json"}) for path in texts]
        built = shards.build(likeness.alike, None, units, label="crawl-alike", count="pages")
    gone = {one.id for one in named}
    found = (tuple(row) for one in built for row in json.loads(one.outputs["alike"].read_text("utf-8")))
    return sorted(row for row in found if row[0] not in gone)


def _robots(indexed: Sequence[shards.Built], wanted: Wanted) -> dict[str, Robots]:
    """Host to the rules that count."""
    latest: dict[str, tuple[str, bytes]] = {}
    for one in indexed:
        for name, date, text in _captures(one.outputs["robots"]):
            latest[name] = max(latest.get(name, ("", b"")), (date, text.encode("latin-1")))
    found = {name: content for name, (_, content) in latest.items()}
    found |= {path.stem.lower(): path.read_bytes() for path in shards.files(wanted.refreshed, "*.txt")}
    return {name: Robots(content) for name, content in found.items()}


def _reasons(
    listing: Path, wanted: Wanted, reasons: Mapping[str, str], forbidden: Mapping[str, Robots]
) -> Iterator[tuple[int, str]]:
    """Number of each record that is to go, with the reason."""
    for number, (url, identity) in enumerate(_captures(listing)):
        robots = forbidden.get(host(url)) if forbidden else None
        if wanted.listed.names(url, identity):
            yield number, "takedown"
        elif identity in reasons:
            yield number, reasons[identity]
        elif robots and _path(url) != "/robots.txt" and robots.forbids(url, wanted.agents):
            yield number, "opt_out_robots"


def _rewritten(
    built: Sequence[shards.Built], found: Mapping[int, Sequence[tuple[int, str]]]
) -> dict[int, shards.Built]:
    """Number of each archive that holds something of it to the archive without it."""
    with listings.folder() as area:
        units = []
        for at, numbers in found.items():
            listing, path = area / f"{at:05}.json", built[at].outputs["warc"]
            listing.write_text(json.dumps(numbers), "utf-8")
            kept = path.name if path.name.endswith(".warc.gz") else intake.rewritten_name(path.name, at)
            units.append(shards.Unit((path, listing), {"warc": kept}))
        again = shards.build(without, None, units, label="crawl-takedown", count="pages")
    return dict(zip(found, again, strict=True))


def _captures(listing: Path) -> Iterator[list[Any]]:
    with listing.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
