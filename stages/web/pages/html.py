"""What HTML pages say: their main text, title and date; pages that would cost too much to read are refused."""

from collections.abc import Sequence
from dataclasses import dataclass

from resiliparse.parse.html import HTMLTree

from stages.web.pages import blocks as text_blocks
from stages.web.pages import charset, flat_tree, parser_input, title_and_date
from stages.web.pages.main_text import main_texts

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
    expected: float = 1.0
    """Word-level F1 to be expected of a text chosen from a page, 0-1: little where the page has no main text."""


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
    told, stated_of = blocks.told.tolist(), title_and_date.stated(blocks)
    for page, text, expected, stated in zip(told, *main_texts(blocks), stated_of, strict=True):
        if text and depths[page] <= max_depth:
            one = pages[page]
            found[page] = Content(
                text=charset.mended(text),
                title=charset.mended(title_and_date.title(stated)),
                published=title_and_date.published(stated, one.html, one.url, one.captured),
                expected=expected,
            )
    return found


def normalised(html: str, max_nodes: int) -> tuple[str, str]:
    """A page without scripts, styles and comments, as the parser understands it, and the reason if it is refused."""
    page, reason = parser_input.readied(html, max_nodes)
    if reason:
        return "", reason
    tree = HTMLTree.parse(page)
    if tree.document is None or tree.body is None:
        return "", "no_text"
    return tree.document.html, ""
