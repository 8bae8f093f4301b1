"""Bytes of a page to text: the encoding it is in, which need not be the one that it claims."""

import codecs
import re

from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

# A claim within the first bytes of the page, as a browser looks for it.
_META = re.compile(
    rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.:-]{1,40})|<\?xml[^>]{0,80}encoding=[\"']([\w.:-]{1,40})", re.I
)
_META_WITHIN = 4096

_SNIFFED = 64 << 10  # bytes looked at to guess an encoding

# The first two bytes of a character in UTF-8, read as Windows-1252 or Latin-1.
_MISREAD = re.compile("[\u00c2-\u00f4][\u0080-\u00bf\u0152-\u0192\u02c6-\u02dc\u2013-\u203a\u20ac\u2122]")

_MAX_DAMAGE = 0.01  # share of characters that may be broken in a page that claims UTF-8; 0–1


def decode(body: bytes, claimed: str) -> str:
    """The text of a page; bytes that its encoding does not know become U+FFFD. Never raises.

    In order: a byte order mark; UTF-8 if the bytes are valid in it (other encodings hardly ever are by accident);
    what the header claims; what the page claims; the encoding that the bytes look like.

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
    if "utf-8" in encodings:
        text = body.decode("utf-8", "replace")
        if text.count("\ufffd") <= _MAX_DAMAGE * len(text):
            return text
    for encoding in [*encodings, detect_encoding(body[:_SNIFFED])]:
        if encoding and encoding != "utf-8":
            return bytes_to_str(body, encoding, "replace", ("utf-8", "windows-1252"))
    return body.decode("utf-8", "replace")


def mended(text: str) -> str:
    """Text in which lines are repaired that were UTF-8 and were decoded as something else, where that is certain.

    ``Ã¼`` becomes ``ü`` and ``â€™`` an apostrophe; ftfy leaves alone what could be meant (Speer, ftfy, 2019).
    """
    if text.isascii() or not _MISREAD.search(text):
        return text
    import ftfy  # takes a seventh of the start of extract, and most crawls have nothing to repair

    return "\n".join(ftfy.fix_encoding(line) if _MISREAD.search(line) else line for line in text.split("\n"))
