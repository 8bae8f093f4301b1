"""The titles of pages and the days they were published, as the pages themselves state them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from email.utils import parsedate
from itertools import islice
from typing import Any

import numpy as np

from stages.web.pages.blocks import Blocks
from stages.web.pages.flat_tree import FlatTree, seen
from stages.web.pages.markdown import clean
from stages.web.pages.tags import TAG

Array = np.ndarray[Any, Any]

# What sites set between a page's title and their own name.
_QUOTATION = re.compile("«[^«»]*»")  # no separators
_SIGNS = "|-–—·•»«:/~"
_SEPARATOR = re.compile(rf"\s+[{re.escape(_SIGNS)}]+\s+|\s*[|»]\s*")
_MAX_TITLE = 300  # characters

_ATTRIBUTE = re.compile(r'([^\s=]+)="([^"]*)"')
_NAME = re.compile(r'(?:property|name|itemprop)="([^"]*)"')
# Names under which pages state the day of publication, the surest first: Open Graph, schema.org, Dublin Core, and
# what news systems use.
_DATE_NAMES = (
    "article:published_time", "og:published_time", "datepublished", "article:published", "og:article:published_time",
    "pubdate", "publishdate", "publish-date", "publish_date", "publication_date", "published", "parsely-pub-date",
    "sailthru.date", "dc.date.issued", "dcterms.issued", "dcterms.created", "dc.date.created", "dc.date",
    "dcterms.date", "citation_publication_date", "citation_date", "citation_online_date", "date", "article.created",
    "created",
    "cxenseparse:recs:publishtime", "displaydate",
)  # fmt: skip
_TITLE_NAMES = ("og:title", "twitter:title", "dc.title")
_SITE_NAME = "og:site_name"
_NAMES = frozenset((*_DATE_NAMES, *_TITLE_NAMES, _SITE_NAME))
# Of structured data; what was created or uploaded may be a picture.
_JSON_PUBLISHED = ('"datePublished"',)
_JSON_CREATED = ('"dateCreated"', '"uploadDate"')
_JSON_DAY = re.compile(r'\s*:\s*"([^"]{8,40})"')
_URL_DATE = re.compile(r"/((?:19|20)\d\d)[/-]([01]?\d)[/-]([0-3]?\d)(?:[/-]|$)")
_NUMBERS = re.compile(r"\s*((?:19|20)\d\d)(?:([-/.])([01]?\d)\2([0-3]?\d)|([01]\d)([0-3]\d))(?!\d)")
_DAY_FIRST = re.compile(r"\s*([0-3]?\d)\. ?([01]?\d)\. ?((?:19|20)\d\d)(?!\d)")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b")


@dataclass
class Stated:
    """What a page states of its title and date."""

    named: dict[str, str]
    """In ``meta`` elements, by lower-cased name; the first of each name."""
    title: str
    """In its ``title``, with the name of its site."""
    headings: list[str]
    """Those of the first level."""
    times: list[str]
    """Days in ``time`` elements that may be that of publication."""


def stated(blocks: Blocks) -> list[Stated]:
    """What every page with text states of its title and date."""
    tree = blocks.tree
    tags = tree.tags[tree.start]
    titles = np.zeros(len(tree.tags), bool)
    titles[tree.start[(tags == TAG["title"]) & (tags[tree.parent] == TAG["head"])]] = True  # pictures have titles too
    metas, names = _by_page(tree, tree.tags == TAG["meta"]), _by_page(tree, titles)
    times, headings = _by_page(tree, tree.opens & (tree.tags == TAG["time"])), _headings(blocks)
    return [
        Stated(_named(tree, metas[page]), _whole_title(tree, names[page]), own, _times(tree, times[page]))
        for page, own in zip(blocks.told.tolist(), headings, strict=True)
    ]


def title(stated: Stated) -> str:
    """The page's own title without the name of its site, or "" if it states none.

    The heading of the first level that the page's ``title`` repeats, or that is the only one, those aside that name the
    site; else what it gives to those who link to it, or its ``title``, less the name behind the last separator.
    """
    whole, named = stated.title, stated.named
    site = named.get(_SITE_NAME, "")
    behind = whole[len(_without_site(whole, site)) :].strip(f" {_SIGNS}")
    sites = {site.casefold(), behind.casefold()}
    headings = [heading for heading in stated.headings if len(heading) > 1 and heading.casefold() not in sites]
    repeated = [heading for heading in headings if heading.casefold() in whole.casefold()]
    if repeated and len(max(repeated, key=len)) >= 0.3 * len(_without_site(whole, "")):
        return max(repeated, key=len)
    if len(headings) == 1:
        return headings[0]
    given = next((named[name] for name in _TITLE_NAMES if named.get(name)), "")
    return _without_site(given or whole, site)


def published(stated: Stated, html: str, url: str, captured: str) -> str:
    """The day on which the page says it was published, as YYYY-MM-DD, or "".

    Args:
        stated: What the page states.
        html: The page as it came, with its scripts: structured data is in them.
        url: Many sites write the day into the address.
        captured: When the page was fetched, ISO 8601: what claims to be later is no date of publication. May be "".
    """
    days = (_day(claim) for claim in _claims(stated, html, url))
    return next((day for day in days if day and (not captured or day <= captured[:10])), "")


def _claims(stated: Stated, html: str, url: str) -> Iterator[str]:
    """Days, the surest first; a page is long, and is not looked at further once there is one."""
    yield from islice(_structured(html, _JSON_PUBLISHED), 1)
    yield from (stated.named[name] for name in _DATE_NAMES if name in stated.named)
    yield from islice(_structured(html, _JSON_CREATED), 1)
    yield from stated.times
    if in_url := _URL_DATE.search(url):
        yield "-".join(in_url.groups())


def _structured(html: str, names: Sequence[str]) -> Iterator[str]:
    """Days in structured data, the surest first."""
    for name in names:
        at = html.find(name)
        while at >= 0:
            if day := _JSON_DAY.match(html, at + len(name)):
                yield day[1]
            at = html.find(name, at + len(name))


def _by_page(tree: FlatTree, chosen: Array) -> list[list[int]]:
    """The chosen tokens of every page."""
    (tokens,) = np.nonzero(chosen)
    return [part.tolist() for part in np.split(tokens, np.searchsorted(tokens, tree.begins[1:]))]


def _named(tree: FlatTree, metas: Sequence[int]) -> dict[str, str]:
    named: dict[str, str] = {}
    for stated in tree.attributes_of(metas):
        if not any(name.lower() in _NAMES for name in _NAME.findall(stated)):
            continue  # most are for machines of other kinds
        attributes = dict(_ATTRIBUTE.findall(stated))
        name = attributes.get("property") or attributes.get("name") or attributes.get("itemprop")
        if name and name.lower() in _NAMES and (value := " ".join(clean(seen(attributes.get("content", ""))).split())):
            named.setdefault(name.lower(), value)
    return named


def _whole_title(tree: FlatTree, titles: Sequence[int]) -> str:
    return " ".join(clean(tree.text(titles[0])).split())[:_MAX_TITLE] if titles else ""


def _headings(blocks: Blocks) -> list[list[str]]:
    """Texts of the headings of the first level, by page with text."""
    (found,) = np.nonzero(blocks.tree.tags[blocks.tree.start[blocks.box]] == TAG["h1"])
    pages = np.split(found, np.searchsorted(found, blocks.pages.starts[1:]))
    return [[clean(blocks.texts[block])[:_MAX_TITLE] for block in page.tolist()] for page in pages]


def _times(tree: FlatTree, tokens: Sequence[int]) -> list[str]:
    """Days in ``time`` elements that are marked as that of publication, then in the first of all if it is the only."""
    marked: list[str] = []
    other: list[str] = []
    for attributes in tree.attributes_of(tokens):
        stated = re.search(r'\sdatetime="([^"]*)"', attributes)
        if stated:
            (marked if re.search(r"pubdate|publish|datePublished|dateCreated", attributes) else other).append(stated[1])
    return marked or (other if len(set(other)) == 1 else [])


def _without_site(text: str, site: str) -> str:
    text = text[:_MAX_TITLE]
    if site and text.casefold().endswith(site.casefold()):
        return text[: -len(site)].rstrip(f" {_SIGNS}") or text
    unquoted = _QUOTATION.sub(lambda quotation: "x" * len(quotation[0]), text)
    parts = [match.start() for match in _SEPARATOR.finditer(unquoted)]
    shorter = text[: parts[-1]].strip() if parts else text
    return shorter if len(shorter) >= 0.4 * len(text) else text


def _day(claim: str) -> str:
    if match := _NUMBERS.match(claim):
        year, month, day = (int(part) for part in match.groups() if part and part.isdecimal())
    elif match := _DAY_FIRST.match(claim):
        day, month, year = map(int, match.groups())
    elif parsed := parsedate(claim) or parsedate(f"{_ORDINAL.sub('', claim)} 00:00"):
        year, month, day = parsed[:3]
    else:
        return ""
    try:
        return date(year, month, day).isoformat() if year >= 1990 else ""
    except ValueError:
        return ""
