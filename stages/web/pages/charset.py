"""Bytes of a page to text: the encoding it is in, which need not be the one that it claims."""

import codecs
import re
from collections.abc import Iterable, Iterator

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

# A claim within the first bytes of the page, as a browser looks for it.
_META = re.compile(
    rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.:-]{1,40})|<\?xml[^>]{0,80}encoding=[\"']([\w.:-]{1,40})", re.I
)
_META_WITHIN = 4096

_SNIFFED = 64 << 10  # bytes looked at to guess an encoding, from shortly before the first that is no ASCII
_BEFORE = 30
_NOT_ASCII = re.compile(rb"[\x80-\xff]")

# Hardly any page is in these, and much that has few letters beyond ASCII looks like them.
_UNUSED = frozenset({"iso8859-3", "iso8859-4", "iso8859-10", "iso8859-13", "iso8859-16"})

# What browsers read under these names has more characters than the standard of the name: ① and ㈱, 똠, €, 嘅, “.
_AS_BROWSERS = {
    "shift_jis": "cp932", "euc_jp": "euc_jis_2004", "euc_kr": "cp949", "gbk": "gb18030", "big5": "big5hkscs",
    "iso8859-11": "cp874",
}  # fmt: skip

# The first two bytes of a character in UTF-8, read as Windows-1252 or Latin-1.
_MISREAD = re.compile("[\u00c2-\u00f4][\u0080-\u00bf\u0152-\u0192\u02c6-\u02dc\u2013-\u203a\u20ac\u2122]")
# О and а, without which there is hardly a line of Russian, in UTF-8 and read as Windows-1251: in no word.
_MISREAD_CYRILLIC = ("Рѕ", "Р°")

# Share of the characters beyond ASCII that may be broken in an encoding that a page is in, 0–1: a page that was cut off
# or has a piece in another encoding has few, one in another encoding nearly all.
_MAX_DAMAGE = 0.5


def decode(body: bytes, claimed: str) -> str:
    """The text of a page; bytes that its encoding does not know become U+FFFD. Never raises.

    In order: a byte order mark; UTF-8 if the bytes are valid in it (other encodings hardly ever are by accident); what
    the header claims; what the page claims; the encoding that the bytes look like; Windows-1252. Of these the first in
    which most characters that are no ASCII are whole.

    Args:
        body: The page.
        claimed: The charset of the Content-Type header, or "".
    """
    for mark, marked in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(marked, "replace")
    meta = _META.search(body, 0, _META_WITHIN)
    claims = [claimed, (meta[1] or meta[2]).decode("ascii", "replace") if meta else ""]
    encodings = [known for claim in claims if claim and (known := map_encoding_to_html5(claim, False))]
    # Two families are valid UTF-8 whatever they say: 7-bit ISO 2022, and UTF-16 of ASCII, which is full of NULs.
    seven_bit = any(encoding.startswith("iso2022") for encoding in encodings) and b"\x1b" in body
    if not seven_bit and b"\0" not in body[:_SNIFFED]:
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError:
            pass
    text = ""
    for encoding in _likely(body, encodings):
        text = body.decode(_AS_BROWSERS.get(encoding, encoding), "replace")
        beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
        if text.count("\ufffd") <= _MAX_DAMAGE * beyond_ascii:
            break
    return text


def _likely(body: bytes, claimed: Iterable[str]) -> Iterator[str]:
    """Encodings to try, the likeliest first."""
    yield from claimed
    first = _NOT_ASCII.search(body)
    start = max(0, first.start() - _BEFORE) if first else 0
    found = detect_encoding(body[start : start + _SNIFFED], html5_compatible=False) or ""
    if found not in _UNUSED:
        yield "cp949" if found == "cp949" else map_encoding_to_html5(found, False) or "utf-8"
    yield "cp1252"


def mended(text: str) -> str:
    """Text in which lines are repaired that were UTF-8 and were decoded as something else, where that is certain.

    ``Ã¼`` becomes ``ü``, ``â€™`` an apostrophe and ``Р°`` а; ftfy leaves alone what could be meant (Speer, ftfy, 2019).
    """
    if text.isascii() or not _misread(text):
        return text
    import ftfy  # takes a seventh of the start of extract, and most crawls have nothing to repair

    return "\n".join(ftfy.fix_encoding(line) if _misread(line) else line for line in text.split("\n"))


def _misread(text: str) -> bool:
    """Whether there is something to look at."""
    return any(pair in text for pair in _MISREAD_CYRILLIC) or _MISREAD.search(text) is not None
