"""The links of a page, found without a parser: one that takes time quadratic in something would stop a whole crawl.

(lxml 6.1 takes 45 s for one tag with 100,000 attributes.)
"""

import itertools
import re
from html import unescape
from urllib.parse import urldefrag, urljoin, urlsplit

_TAG = re.compile(r"<(a|area|base|meta)\s([^<>]{1,4096})>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"(?<![^\s\"'])([a-zA-Z-]{1,20})\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))")
_MAX_TAGS, _MAX_LINKS = 20_000, 2000  # of a page
_MAX_URL = 2048  # characters


def links(html: str, url: str) -> list[str]:
    """Where a page links to: URLs of http and https, absolute, without fragments, each once, in order.

    Empty where the page asks robots not to follow its links; links that are marked so themselves are left out.

    Args:
        html: The page.
        url: Where it was found.
    """
    base = url
    found: dict[str, None] = {}
    for tag in itertools.islice(_TAG.finditer(html), _MAX_TAGS):
        attributes = {
            name.lower(): unescape(one or other or bare) for name, one, other, bare in _ATTRIBUTE.findall(tag[2])
        }
        kind = tag[1].lower()
        if kind == "meta":
            if attributes.get("name", "").lower() == "robots" and _forbids(attributes.get("content", "")):
                return []
        elif kind == "base":
            base = _joined(url, attributes.get("href", "")) or base
        elif "href" in attributes and "nofollow" not in attributes.get("rel", "").lower().split():
            target = _joined(base, attributes["href"])
            if target:
                found[target] = None
        if len(found) == _MAX_LINKS:
            break
    return list(found)


def _forbids(content: str) -> bool:
    """Whether a robots directive forbids to follow links."""
    return bool({"nofollow", "none"} & {word.strip() for word in content.lower().split(",")})


def _joined(base: str, reference: str) -> str:
    """A reference as an absolute URL; empty where it is none that can be fetched."""
    try:
        target = urldefrag(urljoin(base, reference.strip())).url
        parts = urlsplit(target)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as a port of letters
        return ""
    return target if usable and len(target) <= _MAX_URL else ""
