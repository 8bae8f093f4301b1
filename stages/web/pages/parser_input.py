"""Pages as the parser is given them: without scripts, styles and comments, and not at all if they would take it long.

Few of a page's thousands of tags matter here. They are told all at once by the letters behind each ``<``, and only they
are looked at one by one.
"""

import re
from bisect import bisect_left
from html import escape
from typing import Any

import numpy as np

from stages.web.pages.notation import formula

Array = np.ndarray[Any, Any]

# One tag after the other as the HTML standard's tokenizer sees them (section 13.2.5), none with _MAX_ATTRIBUTES or
# more: the parser compares each attribute with all before it, so that 16,000 take it 0.5 s and 160,000 a minute.
_MAX_ATTRIBUTES = 1000
_ATTRIBUTE = rb"""[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+)?+)?+"""
_TAG = rb"<[a-zA-Z][^\s/>]*+(?:%b){0,%d}+(?!%b)" % (_ATTRIBUTE, _MAX_ATTRIBUTES - 1, _ATTRIBUTE)
_BOUNDED_TAG = re.compile(_TAG)
_BOUNDED_TAGS = re.compile(rb"(?:[^<]++|<(?![a-zA-Z])|%b)*+" % _TAG)
_WORTH = 1 << 27  # letters, at most, of tags that are looked at each by itself before the whole page is

# Formatting that is left open is opened again in every element that follows (section 13.2.4.3), up to three times if it
# says the same: 20 kB of 400 different ones and 2,000 paragraphs take the parser 360 MB. Links close each other.
_FORMATTING = ("b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")
_FORMAT = re.compile(rb"<(/?)(?:%b)(?=[\s/>])([^>]*)" % "|".join(_FORMATTING).encode(), re.IGNORECASE)
_MAX_REOPENED = 1_000_000

# What a page has that is neither text nor tag. A script may hold `<!--` and a comment
# `<script>`: what begins first counts.
_OPAQUE = re.compile(rb"<(?:!--|(?:script|style)(?![\w\x80-\xff]))", re.IGNORECASE)
_OPAQUE_ENDS = re.compile(rb"</(?:script|style)(?![\w\x80-\xff])", re.IGNORECASE)

# Formulas, as MathJax takes them and as kramdown wraps them, are no program but text.
_TEX = re.compile(
    rb"""<script\s[^>]*?\btype\s*=\s*["']?math/tex(\s*;\s*mode\s*=\s*display)?(?=["'\s>])[^>]*>""", re.IGNORECASE
)
_TEX_WITHIN = 100  # bytes from where the script begins
_CDATA = (b"% <![CDATA[", b"%]]>", b"<![CDATA[", b"]]>")

# A frame that its author closed as in XML, for readers without scripts: to the parser all that follows lies in it, to
# browsers, which run scripts, nothing does. React writes such.
_OPEN_FRAME = re.compile(rb"<iframe\b[^<>]*+(?<=/)>\s*+(?=</noscript)", re.IGNORECASE)

_BEFORE_VALUE = np.zeros(256, bool)
_BEFORE_VALUE[list(b"= \t\n\r\f\v")] = True
_LETTERS = np.zeros(256, bool)
_LETTERS[[*range(ord("A"), ord("Z") + 1), *range(ord("a"), ord("z") + 1)]] = True


def _pair(two: str) -> int:
    """Two letters as one number, be they small or capital."""
    return int.from_bytes(two.encode(), "little") | 0x2020


_SCRIPT, _STYLE, _COMMENT, _NOSCRIPT = _pair("sc"), _pair("st"), _pair("!-"), _pair("no")
_FORMATS = np.zeros(1 << 16, bool)  # by the first two letters behind a `<`: whether it may be formatting
_FORMATS[[_pair(name[:2]) for name in _FORMATTING if len(name) > 1]] = True
_FORMATS[[_pair(name + end) for name in _FORMATTING if len(name) == 1 for end in " \t\n\r\f\v/>"]] = True


def readied(html: str, max_nodes: int) -> tuple[str, str]:
    """A page to be parsed, and the reason if it is not: ``too_many_nodes`` or ``too_many_attributes``.

    Args:
        html: Anything.
        max_nodes: Tags that it may have, counting what scripts and comments hold.
    """
    whole = _Letters(html.encode())
    if len(whole.begins) > max_nodes:
        return "", "too_many_nodes"
    rest = _Letters(_without_opaque(whole))
    if rest.ends_frame():
        rest = _Letters(_OPEN_FRAME.sub(b"", rest.page))
    if not _has_bounded_tags(rest):
        return "", "too_many_attributes"
    if _reopened(rest) > _MAX_REOPENED:
        return "", "too_many_nodes"
    return rest.page.replace(b"\0", "\ufffd".encode()).decode(), ""


class _Letters:
    """A page with the places where tags may begin."""

    def __init__(self, page: bytes) -> None:
        padded = page + bytes(4)
        self.page = page
        self.codes = np.frombuffer(padded, np.uint8)
        self._pairs = np.ndarray((len(page) + 3,), "<u2", padded, strides=(1,))  # that begin at each
        (self.begins,) = np.nonzero(self.codes == ord("<"))

    def pairs(self, behind: int) -> Array:
        """The letters so far behind each ``<``, two as one number as :func:`_pair` has them."""
        return self._pairs[self.begins + behind] | 0x2020

    def ends_frame(self) -> bool:
        """Whether a noscript ends right behind an element that is closed as in XML."""
        (ends,) = np.nonzero((self.codes[self.begins + 1] == ord("/")) & (self.pairs(2) == _NOSCRIPT))
        before = self._pairs[self.begins[ends] - 2]
        return bool((before == int.from_bytes(b"/>", "little")).any())


def _without_opaque(letters: _Letters) -> bytes:
    page, begins, pairs, further = letters.page, letters.begins, letters.pairs(1), letters.pairs(2)
    opening = begins[(pairs == _SCRIPT) | (pairs == _STYLE) | (pairs == _COMMENT)]
    closing = begins[(letters.codes[begins + 1] == ord("/")) & ((further == _SCRIPT) | (further == _STYLE))]
    ends: dict[bytes, list[int]] = {b"</script": [], b"</style": []}
    for place in closing.tolist():
        if closes := _OPAQUE_ENDS.match(page, place):
            ends[closes[0].lower()].append(place)
    last_comment = page.rfind(b"-->")
    kept, at = [], 0
    for begin in opening.tolist():
        if begin < at or not (opens := _OPAQUE.match(page, begin)):
            continue
        # What has no end is text to the parser too, or all that follows.
        if opens[0] == b"<!--":
            end = page.find(b"-->", begin + 2) + 3 if last_comment >= begin + 2 else 0
        else:
            places = ends[b"</" + opens[0][1:].lower()]
            which = bisect_left(places, begin)
            end = page.find(b">", places[which]) + 1 or len(page) if which < len(places) else 0
        if end:
            kept.append(page[at:begin])
            if page.find(b"math/tex", begin, begin + _TEX_WITHIN) > 0 and (tex := _TEX.match(page, begin, end)):
                kept.append(_as_text(page[tex.end() : page.rfind(b"</", begin, end)], display=tex[1] is not None))
            at = end
    return b"".join([*kept, page[at:]])


def _as_text(script: bytes, *, display: bool) -> bytes:
    """A script of MathJax's as the text that it stands for."""
    for mark in _CDATA:
        script = script.replace(mark, b"")
    return escape(formula(script.decode(), display=display), quote=False).encode()


def _has_bounded_tags(letters: _Letters) -> bool:
    """Whether no tag has _MAX_ATTRIBUTES or more.

    An attribute has two letters, and a tag goes on behind a ``>`` only where a value was opened before it and not
    closed: most tags are known to have few attributes without a look at them.
    """
    page, codes, begins = letters.page, letters.codes, letters.begins
    tags = begins[_LETTERS[codes[begins + 1]]]
    (marks,) = np.nonzero((codes == ord(">")) | (codes == ord('"')))
    is_end = codes[marks] == ord(">")
    opens = marks[:-1][is_end[1:] & ~is_end[:-1]]  # double quotes that no other follows before the next end
    (single,) = np.nonzero(codes == ord("'"))
    ends = np.append(marks[is_end], len(codes) + _MAX_ATTRIBUTES)
    end, goes_on = np.searchsorted(ends, tags), np.zeros(len(ends), bool)
    for quotes in (opens, single):
        goes_on[np.searchsorted(ends, quotes[_BEFORE_VALUE[codes[quotes - 1]]])] = True
    unsure = tags[(ends[end] - tags > _MAX_ATTRIBUTES) | goes_on[end]].tolist()
    if len(unsure) * len(page) <= _WORTH and all(_BOUNDED_TAG.match(page, tag) for tag in unsure):
        return True
    matched = _BOUNDED_TAGS.match(page)
    return matched is not None and matched.end() == len(page)


def _reopened(letters: _Letters) -> int:
    """Elements, at most, that the parser makes of formatting that was left open."""
    tags = len(letters.begins)
    if np.count_nonzero(_FORMATS[letters.pairs(1)]) * tags <= _MAX_REOPENED:
        return 0
    found = _FORMAT.findall(letters.page)
    different = 3 * len({attributes for closes, attributes in found if not closes}) * 12
    count = np.cumsum([-1 if closes else 1 for closes, _ in found])
    still_open = int((count - np.minimum(np.minimum.accumulate(count), 0)).max(initial=0))
    return min(different, still_open) * tags
