"""What an HTML page says: its main text, title and date; pages that would cost too much to read are refused."""

import re
from dataclasses import dataclass

import numpy as np
from resiliparse.parse.html import HTMLTree

from stages.web.pages import blocks as text_blocks
from stages.web.pages import charset, flat_tree, title_and_date
from stages.web.pages.main_text import main_text

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
    r"<(/?)(?=[bcefinstu][a-z]{0,5}[\s/>])(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[\s/>])([^>]*)",
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


@dataclass(frozen=True)
class Content:
    """What a page says."""

    text: str
    """Main text, Markdown-like."""
    title: str
    """The page's own title without the name of its site, or ""."""
    published: str
    """Day of publication that the page states, YYYY-MM-DD, or ""."""


def content(html: str, max_nodes: int, max_depth: int, url: str = "", captured: str = "") -> Content | str:
    """The main text of a page with its title and date, or the reason why there is none.

    Args:
        html: The page; anything.
        max_nodes: Tags that a page may have.
        max_depth: Elements that may lie within one another, html and body included.
        url: Where the page was found, which may tell its date.
        captured: When it was fetched, ISO 8601: it cannot have been published later.

    Returns:
        The content, or one of ``too_many_nodes``, ``too_many_attributes``, ``too_deep``, ``no_text``.
    """
    page, reason = normalised(html, max_nodes)
    if reason:
        return reason
    tree = flat_tree.read(page)
    if tree is None:
        return "no_text"
    if tree.depth.max() > max_depth:
        return "too_deep"
    blocks = text_blocks.split(tree)
    text = main_text(blocks) if blocks else ""
    if blocks is None or not text:
        return "no_text"
    named = title_and_date.stated(tree)
    return Content(
        text=charset.mended(text),
        title=charset.mended(title_and_date.title(blocks, named)),
        published=title_and_date.published(tree, named, html, url, captured),
    )


def normalised(html: str, max_nodes: int) -> tuple[str, str]:
    """A page without scripts, styles and comments, as the parser understands it, and the reason if it is refused."""
    tags = html.count("<")
    if tags > max_nodes:
        return "", "too_many_nodes"
    html = _without_opaque(html)
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
