"""What class names, ids and roles hint at, by hand; ``names`` has what was learnt of them. No other words count."""

import functools
import re
import zlib

from stages.web.pages.flat_tree import seen

# Parts of words, ^ and $ standing for a word's ends: `entry-content`, `entryContent` and `entry_content` are two words.
HINTS = {
    "navigation": "nav menu breadcrumb crumbs paginat pager$ toolbar ^tab$ ^tabs$ ^skip toplang bottomlang quickview",
    "header": "header masthead banner topbar ^top$ ^logo",
    "footer": "foot bottom copyright colophon imprint impressum",
    "side": "^side sidebar ^rail$ ^right$ ^left$ ^aside widget ^secondary",
    "comment": "comment disqus ^respond ^respons discuss ^reply ^replies",
    "social": "social ^share ^sharing facebook twitter whatsapp ^follow addthis bookmark",
    "related": "^relat recommend similar ^also popular trending teaser latest ^more recent outbrain taboola promo",
    "advert": "^ad$ ^ads$ ^adv$ ^advert$ ^adverts$ sponsor adsense advert ^werb anzeige publicidad commercial",
    "consent": "cookie consent gdpr privacy disclaim",
    "overlay": "modal popup overlay lightbox dialog tooltip dropdown offcanvas toast",
    "form": "^form form$ login signup signin register subscri newsletter search captcha input",
    "hidden": "hidden ^hide$ invisible ^sr$ screenreader visually collaps noprint offscreen",
    "meta": "^meta byline author ^date ^time publish ^info credit ^source tagline dateline",
    "tags": "^tag$ ^tags$ categor keyword ^label ^topic$ ^topics$ taxonom",
    "title": "title headline heading ^hed$ ^h1$ subject",
    "lead": "^lead lede intro summary abstract excerpt standfirst subtitle ^dek$ description",
    "content": "content ^main inhalt contenu conteudo ^primary",
    "article": "article story artikel articulo ^news$",
    "body": "body ^text$ ^copy$ prose richtext markdown wysiwyg paragraph fulltext",
    "post": "^post$ ^posts$ ^entry hentry ^blog message thread ^topic$ answer question",
    "product": "product price ^cart shop ^sku ^buy ^spec$ ^specs$ specification",
    "listing": (
        "^list$ ^lists ^listing ^listitem list$ grid ^card$ ^cards$ ^item$ ^items$ result archive collection "
        "^tile carousel ^slide swiper"
    ),
    "code": "^code highlight syntax snippet sourcecode",
    "media": "image ^img photo figure gallery video player caption ^media thumb",
    "section": "section ^block wrap container column ^row$ ^col$ region panel layout",
    "reference": "footnote reference citation biblio ^toc tableofcontents permalink headerlink",
    "profile": "profile avatar ^bio ^user ^member signature contact address ^team",
    "hidden_style": "",  # set from the style, not from names
    "faq": "^faq accordion toggle expand",
    "legal": "^terms legal policy licence license notice alert warning",
}
BITS = {name: 1 << number for number, name in enumerate(HINTS)}

_STEMS = [(stem, BITS[name]) for name, stems in HINTS.items() for stem in stems.split()]
_HEAD = min(len(stem) for stem, _ in _STEMS)
_BY_HEAD: dict[str, list[tuple[str, int]]] = {}  # by their first letters, which nearly always tell that none is there
for _stem, _bit in _STEMS:
    _BY_HEAD.setdefault(_stem[:_HEAD], []).append((_stem, _bit))
_LONGEST_WORD = 40  # letters looked at
_NAMES = re.compile(r' (?:class|id|role|itemprop|itemtype)="([^"]*)"')
_CLASS = re.compile(r' class="\s*([^"\s]+)[^"]*"')
_STYLE = re.compile(r"display:\s*none|visibility:\s*hidden", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]?[a-z]+[1-6]?(?![a-z])|[A-Z]+(?![a-z])")
_NAMED = 400  # characters of an element's names that count: utility classes can go on for thousands

LOOKED_AT = 1000
"""Bytes of an element's attributes that are worth reading; what was read is remembered."""


@functools.lru_cache(maxsize=1 << 15)
def read(stated: bytes) -> tuple[int, int, tuple[str, ...]]:
    """What an element's attributes say, given as they stand in the page.

    Returns:
        Bits of what they hint at, a number that equals that of others with its first class, and its names as they are
        written.
    """
    bits = 0
    attributes = stated.decode("utf-8", "ignore")  # a character may be cut
    names = seen(" ".join(_NAMES.findall(attributes)))[:_NAMED]
    for name in names.replace("-", " ").replace("_", " ").split():  # what is between hyphens comes back in other names
        bits |= _of_name(name)
    styled = " style=" in attributes and _STYLE.search(attributes)
    if styled or " hidden" in attributes or ' aria-hidden="true"' in attributes:
        bits |= BITS["hidden_style"]
    first = _CLASS.search(attributes)
    return bits, zlib.crc32(first[1].encode("utf-8", "replace")) if first else 0, tuple(names.split())


@functools.lru_cache(maxsize=1 << 16)
def _of_name(name: str) -> int:
    """Bits of a name without hyphens: of all its words, such as the two of ``entryContent``."""
    bits = 0
    for found in _WORD.findall(name):
        word = f"^{found.lower()[:_LONGEST_WORD]}$"
        for begin in range(len(word) - _HEAD + 1):
            for stem, bit in _BY_HEAD.get(word[begin : begin + _HEAD], ()):
                if word.startswith(stem, begin):
                    bits |= bit
    return bits
