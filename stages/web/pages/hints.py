"""What class names, ids and roles hint at: the one place where words count, and only those of templates."""

import functools
import re
import zlib

# Searched in every word of a name: `entry-content`, `entryContent` and `entry_content` are two words.
HINTS = {
    "navigation": r"nav|menu|breadcrumb|crumbs|paginat|pager$|toolbar|^tabs?$|^skip|toplang|bottomlang|quickview",
    "header": r"header|masthead|banner|topbar|^top$|^logo",
    "footer": r"foot|bottom|copyright|colophon|imprint|impressum",
    "side": r"^side|sidebar|^(?:rail|right|left)$|^aside|widget|^secondary",
    "comment": r"comment|disqus|^respon[ds]|discuss|^repl(?:y|ies)",
    "social": r"social|^shar(?:e|es|ing)|facebook|twitter|whatsapp|^follow|addthis|bookmark",
    "related": r"^relat|recommend|similar|^also|popular|trending|teaser|latest|^more|recent|outbrain|taboola|promo",
    "advert": r"^ad(?:s|v|verts?)?$|sponsor|adsense|advert|^werb|anzeige|publicidad|commercial",
    "consent": r"cookie|consent|gdpr|privacy|disclaim",
    "overlay": r"modal|popup|overlay|lightbox|dialog|tooltip|dropdown|offcanvas|toast",
    "form": r"^form|form$|login|signup|signin|register|subscri|newsletter|search|captcha|input",
    "hidden": r"hidden|^hide$|invisible|^sr$|screenreader|visually|collaps|noprint|offscreen",
    "meta": r"^meta|byline|author|^date|^time|publish|^info|credit|^source|tagline|dateline",
    "tags": r"^tags?$|categor|keyword|^label|^topics?$|taxonom",
    "title": r"title|headline|heading|^hed$|^h1$|subject",
    "lead": r"^lead|lede|intro|summary|abstract|excerpt|standfirst|subtitle|^dek$|description",
    "content": r"content|^main|inhalt|contenu|conteudo|^primary",
    "article": r"article|story|artikel|articulo|^news$",
    "body": r"body|^text$|^copy$|prose|richtext|markdown|wysiwyg|paragraph|fulltext",
    "post": r"^posts?$|^entry|hentry|^blog|message|thread|^topic$|answer|question",
    "product": r"product|price|^cart|shop|^sku|^buy|^specs?$|specification",
    "listing": r"^list(?!en)|list$|grid|^cards?$|^items?$|result|archive|collection|^tile|carousel|^slide|swiper",
    "code": r"^code|highlight|syntax|snippet|sourcecode",
    "media": r"image|^img|photo|figure|gallery|video|player|caption|^media|thumb",
    "section": r"section|^block|wrap|container|column|^row$|^col$|region|panel|layout",
    "reference": r"footnote|reference|citation|biblio|^toc|tableofcontents|permalink|headerlink",
    "profile": r"profile|avatar|^(?:bio|user|member)|signature|contact|address|^team",
    "hidden_style": r"^(?!)",  # set from the style, not from names
    "faq": r"^faq|accordion|toggle|expand",
    "legal": r"^terms|legal|policy|licen[cs]e|notice|alert|warning",
}
BITS = {name: 1 << number for number, name in enumerate(HINTS)}

_PATTERNS = [(BITS[name], re.compile(words)) for name, words in HINTS.items()]
_ANY = re.compile("|".join(HINTS.values()))
_NAMES = re.compile(r'\s(?:class|id|role|itemprop)="([^"]*)"')
_CLASS = re.compile(r'\sclass="\s*([^"\s]*)')
_STYLE = re.compile(r"display:\s*none|visibility:\s*hidden", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]?[a-z]+[1-6]?(?![a-z])|[A-Z]+(?![a-z])")
_LOOKED_AT = 400  # characters of an element's names: utility classes can go on for thousands


@functools.lru_cache(maxsize=1 << 15)
def read(attributes: str) -> tuple[int, int]:
    """Bits of what an element's attributes hint at, and a number that equals that of others with its first class."""
    if not attributes:
        return 0, 0
    bits = 0
    for name in " ".join(_NAMES.findall(attributes))[:_LOOKED_AT].split():
        bits |= _of_name(name)
    styled = " style=" in attributes and _STYLE.search(attributes)
    if styled or " hidden" in attributes or ' aria-hidden="true"' in attributes:
        bits |= BITS["hidden_style"]
    first = _CLASS.search(attributes)
    return bits, zlib.crc32(first[1].encode("utf-8", "replace")) if first else 0


@functools.lru_cache(maxsize=1 << 16)
def _of_name(name: str) -> int:
    bits = 0
    for word in _WORD.findall(name):
        bits |= _of_word(word)
    return bits


@functools.lru_cache(maxsize=1 << 15)
def _of_word(word: str) -> int:
    word = word.lower()
    if not _ANY.search(word):  # as most are
        return 0
    return sum(bit for bit, pattern in _PATTERNS if pattern.search(word))
