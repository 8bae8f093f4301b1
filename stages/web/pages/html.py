"""What HTML pages say: their main text, title and date; pages that would cost too much to read are refused."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from resiliparse.parse.html import HTMLTree

from stages.web.pages import blocks as text_blocks
from stages.web.pages import charset, flat_tree, title_and_date
from stages.web.pages.main_text import main_texts

# One tag after the other as the HTML standard's tokenizer sees them (section 13.2.5), none with _MAX_ATTRIBUTES or
# more: the parser compares each attribute with all before it, so that 16,000 take it 0.5 s and 160,000 a minute.
_MAX_ATTRIBUTES = 1000
_ATTRIBUTE = r"""[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+)?+)?+"""
_BOUNDED_TAGS = re.compile(
    rf"(?:[^<]++|<(?![a-zA-Z])|<[a-zA-Z][^\s/>]*+(?:{_ATTRIBUTE}){{0,{_MAX_ATTRIBUTES - 1}}}+(?!{_ATTRIBUTE}))*+"
)

# Formatting that is left open is opened again in every element that follows (section 13.2.4.3), up to three times if it
# says the same: 20 kB of 400 different ones and 2,000 paragraphs take the parser 360 MB. Links close each other.
_FORMATTING = re.compile(
    r"<(/?)(?=[bcefinstu])(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[\s/>])([^>]*)",
    re.IGNORECASE,
)
_MAX_REOPENED = 1_000_000

# What a page has that is neither text nor tag. A script may hold `<!--` and a comment
# `<script>`: what begins first counts.
_OPAQUE = re.compile(r"<(?:!--|script\b|style\b)", re.IGNORECASE)
_OPAQUE_ENDS = {
    "<!--": re.compile("-->"),
    "<script": re.compile(r"</script\b[^>]*+>?", re.IGNORECASE),
    "<style": re.compile(r"</style\b[^>]*+>?", re.IGNORECASE),
}

# A frame that its author closed as in XML, for readers without scripts: to the parser all that follows lies in it, to
# browsers, which run scripts, nothing does. React writes such.
_OPEN_FRAME = re.compile(r"<iframe\b[^<>]*+(?<=/)>\s*+(?=</noscript)", re.IGNORECASE)

# Characters of pages that are looked at together: with half as many ordinary pages take a twentieth longer, with a
# quarter a fifth; with twice as many they take as long.
_TOGETHER = 1_000_000


@dataclass(frozen=True)
class Content:
    """What a page says."""

    text: str
    """Main text, Markdown-like."""
    title: str
    """The page's own title without the name of its site, or ""."""
    published: str
    """Day of publication that the page states, YYYY-MM-DD, or ""."""


@dataclass(frozen=True)
class Page:
    """A page as it came."""

    html: str
    """Anything."""
    url: str
    """Where it was found, which may tell its date; or ""."""
    captured: str
    """When it was fetched, ISO 8601: it cannot have been published later; or ""."""


def content(html: str, max_nodes: int, max_depth: int, url: str = "", captured: str = "") -> Content | str:
    """What one page says, see :func:`contents`."""
    return contents([Page(html, url, captured)], max_nodes, max_depth)[0]


def contents(pages: Sequence[Page], max_nodes: int, max_depth: int) -> list[Content | str]:
    """The main text of pages with title and date, or the reason why there is none.

    Pages are looked at together, which takes less time and changes nothing of what comes out.

    Args:
        pages: The pages.
        max_nodes: Tags that a page may have.
        max_depth: Elements that may lie within one another, html and body included.

    Returns:
        Of each page the content, or one of ``too_many_nodes``, ``too_many_attributes``, ``too_deep``, ``no_text``.
    """
    found: list[Content | str] = []
    together: list[Page] = []
    trees: list[str] = []
    for page in pages:
        tree, reason = normalised(page.html, max_nodes)
        if trees and (reason or len(tree) + sum(map(len, trees)) > _TOGETHER):
            found += _together(together, trees, max_depth)
            together, trees = [], []
        if reason:
            found.append(reason)
        else:
            together.append(page)
            trees.append(tree)
    return found + (_together(together, trees, max_depth) if trees else [])


def _together(pages: Sequence[Page], trees: Sequence[str], max_depth: int) -> list[Content | str]:
    """The contents of pages with the trees that the parser makes of them, serialised."""
    tree = flat_tree.read(trees)
    if tree is None and len(pages) > 1:  # one of them is no tree
        return [_together([page], [own], max_depth)[0] for page, own in zip(pages, trees, strict=True)]
    if tree is None:
        return ["no_text"]
    depths = tree.pages.max(tree.depth).tolist()
    found: list[Content | str] = ["too_deep" if depth > max_depth else "no_text" for depth in depths]
    blocks = text_blocks.split(tree)
    if blocks is None:
        return found
    for page, text, stated in zip(blocks.told.tolist(), main_texts(blocks), title_and_date.stated(blocks), strict=True):
        if text and depths[page] <= max_depth:
            one = pages[page]
            found[page] = Content(
                text=charset.mended(text),
                title=charset.mended(title_and_date.title(stated)),
                published=title_and_date.published(stated, one.html, one.url, one.captured),
            )
    return found


def normalised(html: str, max_nodes: int) -> tuple[str, str]:
    """A page without scripts, styles and comments, as the parser understands it, and the reason if it is refused."""
    tags = html.count("<")
    if tags > max_nodes:
        return "", "too_many_nodes"
    html = _without_opaque(html)
    if "/></noscript" in html:
        html = _OPEN_FRAME.sub("", html)
    if not _has_bounded_tags(html):
        return "", "too_many_attributes"
    if _reopened(html) > _MAX_REOPENED:
        return "", "too_many_nodes"
    tree = HTMLTree.parse(html.replace("\0", "\ufffd"))
    if tree.document is None or tree.body is None:
        return "", "no_text"
    return tree.document.html, ""


def _reopened(html: str) -> int:
    """Elements, at most, that the parser makes of formatting that was left open."""
    found = _FORMATTING.findall(html)
    tags = html.count("<")
    different = 3 * len({attributes for closes, attributes in found if not closes}) * 12
    if different * tags <= _MAX_REOPENED:
        return 0
    count = np.cumsum([-1 if closes else 1 for closes, _ in found])
    still_open = int((count - np.minimum(np.minimum.accumulate(count), 0)).max())
    return min(different, still_open) * tags


def _without_opaque(html: str) -> str:
    kept = []
    at = search_from = 0
    endless = set()  # what has no end is text to the parser too, or all that follows; no end is looked for twice
    while begin := _OPAQUE.search(html, search_from):
        kind = begin[0].lower()
        end = None if kind in endless else _OPAQUE_ENDS[kind].search(html, begin.start() + 2)
        if end is None:
            endless.add(kind)
            search_from = begin.end()
            continue
        kept.append(html[at : begin.start()])
        at = search_from = end.end()
    return "".join([*kept, html[at:]])


def _has_bounded_tags(html: str) -> bool:
    matched = _BOUNDED_TAGS.match(html)
    return matched is not None and matched.end() == len(html)
