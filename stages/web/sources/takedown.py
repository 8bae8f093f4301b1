"""Pages taken down: archives of a crawl without the captures that the list names."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.core import shards
from stages.core.takedown import Takedown
from stages.web.records import warc
from stages.web.sources import captures, intake, listings


def remove(built: list[shards.Built], wanted: Takedown) -> tuple[list[shards.Built], int]:
    """The archives, those that hold a named capture written again without it; and how many pages that took.

    What an archive holds is listed once; a list that grows touches only the archives with its new entries.

    Args:
        built: Output ``warc``, as every source gives it.
        wanted: What is to go.
    """
    if not wanted.pages:
        return built, 0
    paths = [one.outputs["warc"] for one in built]
    units = [shards.Unit((path,), {"captures": "captures.jsonl"}) for path in paths]
    listed = shards.build(index, None, units, label="crawl-captures", count="records")
    found = {at: _named(one.outputs["captures"], wanted) for at, one in enumerate(listed)}
    touched = {at: numbers for at, numbers in found.items() if numbers}
    with listings.folder() as area:
        units = []
        for at, numbers in touched.items():
            listing = area / f"{at:05}.json"
            listing.write_text(json.dumps(numbers), "utf-8")
            name = paths[at].name
            kept = name if name.endswith(".warc.gz") else intake.rewritten_name(name, at)
            units.append(shards.Unit((paths[at], listing), {"warc": kept}))
        again = dict(
            zip(touched, shards.build(without, None, units, label="crawl-takedown", count="pages"), strict=True)
        )
    taken = sum(one.metrics["in"] - one.metrics["out"] for one in again.values())
    return [again.get(at, one) for at, one in enumerate(built)], taken


def index(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """URL and id of every record of an archive, in order, as JSON lines."""
    count = 0
    with outputs["captures"].open("w", encoding="utf-8") as file:
        for record in warc.read(inputs[0], intake.MAX_BYTES, warc.Loss()):
            count += 1
            print(json.dumps([record.url, record.identity]), file=file)
    return {"in": count, "out": count}


def without(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Write the records of an archive (first input) to a new one, but those of the numbers in a JSON list (second)."""
    named = set(json.loads(inputs[1].read_text("utf-8")))
    pages = kept = 0
    loss = warc.Loss()
    with outputs["warc"].open("wb") as file:
        for number, record in enumerate(warc.read(inputs[0], intake.MAX_BYTES, loss)):
            pages += intake.is_page(record)
            if number not in named and record.problem != "unreadable":
                kept += intake.is_page(record)
                file.write(captures.member(intake.rewritten(record)))
    return {"in": pages, "out": kept, "dropped": {"takedown": pages - kept}, "lost": loss.counts}


def _named(listing: Path, wanted: Takedown) -> list[int]:
    with listing.open(encoding="utf-8") as file:
        return [number for number, line in enumerate(file) if wanted.names(*json.loads(line))]
