"""The main text of an HTML page, as Markdown-like text; pages that would cost too much to read are refused."""

import functools
import re

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from stages.web.markdown import from_minimal_html

# One tag after the other as the HTML standard's tokenizer sees them (section 13.2.5), none with _MAX_ATTRIBUTES or
# more: the parser compares each attribute with all before it, so that 16,000 take it 0.5 s and 160,000 a minute.
_MAX_ATTRIBUTES = 1000
_ATTRIBUTE = r"""[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+)?+)?+"""
_BOUNDED_TAGS = re.compile(
    rf"(?:[^<]++|<(?![a-zA-Z])|<[a-zA-Z][^\s/>]*+(?:{_ATTRIBUTE}){{0,{_MAX_ATTRIBUTES - 1}}}+(?!{_ATTRIBUTE}))*+"
)

_SCRIPT = re.compile(r"<script\b", re.IGNORECASE)
_SCRIPT_END = re.compile(r"</script[^>]*+>?", re.IGNORECASE)

# Navigation that main-content extraction leaves in, by the names that generators of documentation give it: DocBook,
# Publican, Sphinx, Doxygen, Apache's manual; and what any page may mark as such.
_NAVIGATION = (
    "nav, [role=navigation], [role=search], .navheader, .navfooter, .docnav, .sphinxsidebar, .related, .breadcrumb, "
    ".breadcrumbs, .toplang, .bottomlang, #path, #page-header, #quickview, a.headerlink, a.permalink"
)


def main_text(html: str, max_nodes: int, max_depth: int) -> tuple[str, str]:
    """The main text of a page, and the reason if there is none.

    Args:
        html: The page; anything.
        max_nodes: Tags that a page may have.
        max_depth: Elements that may lie within one another, html and body included: main-content extraction takes
            time quadratic in it.

    Returns:
        Text and "", or "" and one of ``too_many_nodes``, ``too_many_attributes``, ``too_deep``, ``no_text``.
    """
    tags = html.count("<")
    if tags > max_nodes:
        return "", "too_many_nodes"
    if not _has_bounded_tags(html):
        # To the pattern, `i<a.length` in a script is a tag. What is parsed is what was checked: without scripts.
        html = _without_scripts(html)
        if not _has_bounded_tags(html):
            return "", "too_many_attributes"
    tree = HTMLTree.parse(html.replace("\0", "\ufffd"))
    if tree.document is None or tree.body is None:
        return "", "no_text"
    if tags > max_depth and tree.document.query_selector(_chain(max_depth + 1)):
        return "", "too_deep"
    for element in tree.document.query_selector_all(_NAVIGATION):
        element.decompose()
    text = from_minimal_html(
        extract_plain_text(tree, main_content=True, preserve_formatting="minimal_html", alt_texts=False)
    )
    return text, "" if text else "no_text"


def _has_bounded_tags(html: str) -> bool:
    matched = _BOUNDED_TAGS.match(html)
    return matched is not None and matched.end() == len(html)


def _without_scripts(html: str) -> str:
    kept = []
    at = 0
    while (begin := _SCRIPT.search(html, at)) and (end := _SCRIPT_END.search(html, begin.end())):
        kept.append(html[at : begin.start()])
        at = end.end()
    return "".join([*kept, html[at:]])


@functools.cache
def _chain(length: int) -> str:
    """A selector of an element that lies within ``length`` - 1 others: the parser's own code checks it, fast."""
    return " > ".join(["*"] * length)
