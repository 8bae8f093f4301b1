"""Wikipedia as a source: articles out of the XML dump of any MediaWiki, as WARC records of plain text."""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from stages.core import shards
from stages.core.fingerprint import file_hash
from stages.core.params import as_json, params
from stages.web.sources import captures, intake, listings, locations, wikipedia_dump, wikitext
from stages.web.sources.source import Collected, Wanted

_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_NO_TEXT_OF_A_LINK = ("-2", "6", "14")  # numbers of the namespaces Media, File, Category
_ALIASES = ("media", "file", "image", "category")  # which work in every language


@params
class Wikipedia:
    """Dumps named …-pages-articles.xml.bz2; of …-multistream.xml.bz2 the pieces are read in parallel."""

    paths: tuple[str, ...]
    """Files, folders and globs, absolute or relative to incoming/crawl, and URLs."""
    namespaces: tuple[int, ...]
    """Numbers of those whose pages are taken: 0 is articles."""


def collect(section: Wikipedia, wanted: Wanted) -> Collected:
    """The articles of the dumps, each dated by its revision; redirects and other namespaces are dropped."""
    found = list(locations.locate("wikipedia", section.paths, wikipedia_dump.NAMES, wanted))
    listed = []
    with listings.folder() as lists:
        units = []
        for path, name in zip(found, intake.names(found), strict=True):
            site, digest = wikipedia_dump.site(path), file_hash(path)
            listed.append({"file": path.name, "wiki": site.name, "sha256": digest})
            stem = re.sub(r"\.xml(\.bz2|\.gz|\.zst)?$", "", name, flags=re.IGNORECASE)
            # Articles are about a fifth of their size in the dump, and that of half a WARC's text.
            cut = wikipedia_dump.pieces(path, int(wanted.shard_mb * 1e6 / 2))
            for number, piece in enumerate(cut):
                row = {**dataclasses.asdict(piece), "path": str(path), "sha256": digest}
                said = {"piece": row, "site": dataclasses.asdict(site)}
                units.append(listings.unit(lists, f"{stem}-{number:05}", said))
        built = shards.build(write, json.loads(as_json(section))["namespaces"], units, label="crawl", count="pages")
    counts = shards.total(one.metrics for one in built)
    if wanted.max_pages and counts.get("out"):
        built = intake.sampled([one.outputs["warc"] for one in built], wanted)
    return Collected(built, counts.get("in", 0), section.paths, {"dumps": listed}, counts.get("dropped", {}))


def write(namespaces: Sequence[int], inputs: Sequence[Path], outputs: Mapping[str, Path]) -> shards.Metrics:
    """Write the articles of a piece of a dump to one WARC; what is no article is dropped with its reason."""
    said = json.loads(inputs[0].read_text("utf-8"))
    row, site = said["piece"], wikipedia_dump.Site(**said["site"])
    piece = wikipedia_dump.Piece(Path(row["path"]), row["start"], row["end"])
    names = (site.namespaces.get(number, "").lower() for number in _NO_TEXT_OF_A_LINK)
    hidden = {*_ALIASES, *names} - {""}
    reasons: Counter[str] = Counter()

    def articles() -> Iterator[captures.Text]:
        for page in wikipedia_dump.pages(piece):
            article = _refusal(page, namespaces) or _article(page, site, hidden)
            if isinstance(article, str):
                reasons[article] += 1
            else:
                yield article

    count = captures.write(outputs["warc"], articles(), inputs[0].stem)
    return {"in": count + reasons.total(), "out": count, "dropped": dict(sorted(reasons.items()))}


def _refusal(page: wikipedia_dump.Page, namespaces: Sequence[int]) -> str:
    if page.namespace not in map(str, namespaces):
        return "namespace"
    if page.is_redirect:
        return "redirect"
    if page.too_large:
        return "too_large"
    return "not_wikitext" if page.model not in ("", "wikitext") else ""


def _article(page: wikipedia_dump.Page, site: wikipedia_dump.Site, hidden: set[str]) -> captures.Text | str:
    """The article under its title as a heading, or ``no_text``."""
    text = wikitext.to_markdown(page.text, hidden)
    if not text:
        return "no_text"
    base = site.base.rpartition("/")[0] if site.base.startswith(("http://", "https://")) else "http://wiki.invalid"
    url = f"{base}/{quote(page.title.replace(' ', '_'), safe='/:,;!()*@~$')}"
    date = page.timestamp if _DATE.fullmatch(page.timestamp) else captures.UNKNOWN_DATE
    return captures.Text(url, date, f"# {' '.join(page.title.split())}\n\n{text}")
