"""Pages whose owners ask that no model learns from them, in the header or the head of the page itself.

``X-Robots-Tag`` and ``<meta name="robots">`` hold directives such as ``noai`` and ``noimageai``
(https://www.deviantart.com/team/journal/UPDATE-All-Deviations-Are-Opted-Out-of-AI-Datasets-934500371, 2022), after
which also ``noindex`` or ``noarchive`` can be made to count; ``tdm-reservation: 1`` is W3C's TDM Reservation Protocol
(https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240510/), in a header or a meta element.
"""

import html
import re
from collections.abc import Collection

TDM = "tdm-reservation"

_ADDRESSED = frozenset({"", "robots", "headwater"})
"""Robots that directives for these names are meant for; those for another robot say nothing to this one."""

_VALUED = frozenset({"max-image-preview", "max-snippet", "max-video-preview", "unavailable_after"})
"""Directives with a colon in them, as WordPress writes into every page; what follows them is for the same robot."""

# Metadata belongs into the head, which rarely has a tenth of it; what lies behind is not looked at.
_HEAD = 1 << 17

_COMMENT = re.compile(r"<!--.*?(?:-->|$)", re.DOTALL)
# Each begins where the one before ends or not at all, so hostile pages take no longer.
_META = re.compile(r"<meta\b([^<>]*)>")
_ATTRIBUTE = re.compile(r"""(?<![a-z-])([a-z-]++)\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_FIELD = re.compile(rb"^(x-robots-tag|tdm-reservation)[ \t]*:([^\r\n]*)", re.MULTILINE | re.IGNORECASE)


def in_headers(message: bytes, signals: Collection[str]) -> str:
    """The first of ``signals`` that the headers of an HTTP message give; "" if they give none."""
    for name, value in _FIELD.findall(message):
        field, said = name.decode("ascii").lower(), value.decode("latin-1").strip().lower()
        if field == TDM and TDM in signals and said == "1":
            return TDM
        if field != TDM and (found := _directive(said, signals)):
            return found
    return ""


def in_page(text: str, signals: Collection[str]) -> str:
    """The first of ``signals`` that the head of a page of HTML gives; "" if it gives none."""
    end = text.find("</head", 0, _HEAD)
    head = text[: end if end >= 0 else _HEAD].lower()
    if not any(signal in head for signal in signals):  # of nearly all pages
        return ""
    for written in _META.findall(_COMMENT.sub("", head.partition("</head")[0])):
        attributes = {name: html.unescape("".join(value)) for name, *value in _ATTRIBUTE.findall(written)}
        name, content = attributes.get("name", "").strip(), attributes.get("content", "").strip()
        if name == TDM and TDM in signals and content == "1":
            return TDM
        if name in _ADDRESSED - {""} and (found := _directive(content, signals)):
            return found
    return ""


def _directive(said: str, signals: Collection[str]) -> str:
    """The first of ``signals`` among directives such as ``noindex, noai`` or ``somebot: noai``."""
    robot = ""
    for part in said.split(","):
        before, colon, after = part.partition(":")
        name = before.strip()
        if colon and name not in _VALUED and " " not in name:  # a name holds for what follows too; a date has spaces
            robot = name
        directive = (after if colon else part).strip()
        if robot in _ADDRESSED and directive in signals:
            return directive
    return ""
