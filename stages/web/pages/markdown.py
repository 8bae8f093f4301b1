"""Markdown-like text: the form in which documents are kept.

Headings are lines that begin with ``# `` to ``###### ``, list items with ``- `` or a number, cells of a table's row are
joined by `` | ``, code stands between fences, formulas between dollar signs, and a blank line parts paragraphs.
"""

import re
import unicodedata

_LOOKS_LIKE_MARKUP = re.compile(r"#{1,6} |```")

# What is no text in any language: controls but for tab and line feed, surrogates, noncharacters, invisible marks of
# layout (soft hyphen, zero-width space, word joiner, byte order mark).
_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\u00ad\u200b\u2060\ufeff]")

_SPACES = re.compile(" {2,}")
_BLANKS = re.compile(r"[ \t]+$", re.MULTILINE)
_BLANK_LINES = re.compile(r"(?:[ \t]*+\n)++")


def clean(text: str) -> str:
    """Text in NFC without controls, surrogates and noncharacters; lines end with a line feed and no blanks."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Nearly always there is nothing to take out, which is seen in a tenth of the time.
    if not text.replace("\n", "").isprintable():
        text = _NO_TEXT.sub("", text)
    if text.endswith((" ", "\t")) or " \n" in text or "\t\n" in text:
        text = _BLANKS.sub("", text)
    return unicodedata.normalize("NFC", text).strip("\n")


class Text:
    """Collects the blocks of a document."""

    def __init__(self) -> None:
        self._written: list[str] = []
        self._before = ""  # kind of the block before: "paragraph", "line", "item", "row", "code" or "heading"

    def heading(self, text: str, level: int) -> None:
        """A heading of level 1 to 6."""
        self._add("heading", "#" * level + " " + text)

    def paragraph(self, text: str) -> None:
        """A paragraph of one line."""
        self._add("paragraph", _as_words(text))

    def line(self, text: str) -> None:
        """A line that goes on a paragraph or an item after a line break."""
        self._written.append("\n" + _as_words(text))

    def item(self, text: str, marker: str) -> None:
        """An item of a list; the marker has its indentation and ends with a space."""
        self._add("item", marker + text)

    def row(self, cells: list[str]) -> None:
        """A row of a table; cells may be empty, and have no more than one space in a row."""
        self._add("row", _as_words(_SPACES.sub(" ", " | ".join(cells)).strip()))

    def code(self, text: str) -> None:
        """Preformatted text."""
        blank = _BLANK_LINES.match(text)
        if text := text[blank.end() if blank else 0 :].rstrip():
            fence = "```"
            while fence in text:
                fence += "`"
            self._add("code", f"{fence}\n{text}\n{fence}")

    def _add(self, kind: str, text: str) -> None:
        together = kind == self._before and kind in ("item", "row")
        if self._written:
            self._written.append("\n" if together else "\n\n")
        self._written.append(text)
        self._before = kind

    def __str__(self) -> str:
        """The document, cleaned; the items of a list and the rows of a table on lines of their own."""
        return clean("".join(self._written))


def _as_words(line: str) -> str:
    return "\\" + line if _LOOKS_LIKE_MARKUP.match(line) else line
