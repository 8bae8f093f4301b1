"""Markdown-like text from the few tags that main-content extraction leaves: the form in which documents are kept.

Headings are lines that begin with ``# `` to ``###### ``, list items with ``- `` or a number, cells of a table's row are
joined by `` | ``, code stands between fences, and a blank line parts paragraphs.
"""

import re
import unicodedata
from html import unescape

_CODE = re.compile(r"<pre>(.*?)</pre>", re.DOTALL)
_MARKS = re.compile(r"(</?(?:h[1-6]|p|ul|ol|li|br)>|\n)")
_LOOKS_LIKE_MARKUP = re.compile(r"^(?=#{1,6} |```)", re.MULTILINE)

# What is no text in any language: controls but for tab and line feed, surrogates, noncharacters, invisible marks of
# layout (soft hyphen, zero-width space, word joiner, byte order mark).
_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\u00ad\u200b\u2060\ufeff]")


def clean(text: str) -> str:
    """Text in NFC without controls, surrogates and noncharacters; lines end with a line feed and no blanks."""
    text = _NO_TEXT.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return unicodedata.normalize("NFC", re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)).strip("\n")


def from_minimal_html(html: str) -> str:
    """Markdown-like text, cleaned, from resiliparse's ``minimal_html``: headings, paragraphs, lists, code, rows.

    There, markup in text is escaped, white space is collapsed outside ``pre``, a line break ends a block, and tabs
    part the cells of a row.
    """
    blocks = _Blocks()
    for number, part in enumerate(_CODE.split(html)):
        if number % 2:
            blocks.code(unescape(part))
        else:
            for place, token in enumerate(_MARKS.split(part)):
                if place % 2:
                    blocks.mark(token)
                elif token:
                    blocks.words(token)
    blocks.end()
    return clean(blocks.text())


class _Blocks:
    """Collects blocks while the marks of a page go by."""

    def __init__(self) -> None:
        self._blocks: list[tuple[str, str]] = []  # kind ("paragraph", "item", "row", "code", "heading"), text
        self._lines: list[str] = [""]  # of the block under way
        self._level = 0  # of the heading under way
        self._marker = ""  # of the list item whose text has not come yet
        self._counters: list[int] = []  # of the open lists; 0 in a list without numbers
        self._broken = False  # whether a line break was just taken

    def words(self, text: str) -> None:
        """Text within a line."""
        self._lines[-1] += text
        self._broken = self._broken and not text.strip()

    def mark(self, mark: str) -> None:
        """A tag or a line feed."""
        if mark == "<br>":
            self._lines.append("")
            self._broken = True
        elif mark == "\n":
            if not self._broken:  # the line feed that is set behind each <br>
                self.end()
            self._broken = False
        else:
            self.end()
            self._structure(mark.strip("</>"), opens=mark[1] != "/")

    def _structure(self, name: str, *, opens: bool) -> None:
        if name in ("ul", "ol"):
            if opens:
                self._counters.append(1 if name == "ol" else 0)
            elif self._counters:
                self._counters.pop()
        elif name == "li":
            self._marker = self._next_marker() if opens else ""
        elif name[0] == "h":
            self._level = int(name[1]) if opens else 0

    def _next_marker(self) -> str:
        indent = "  " * (len(self._counters) - 1)
        if not self._counters or not self._counters[-1]:
            return indent + "- "
        self._counters[-1] += 1
        return f"{indent}{self._counters[-1] - 1}. "

    def end(self) -> None:
        """The block under way is complete."""
        if self._lines == [""]:
            return
        lines = [_joined(line) for line in self._lines]
        self._lines, self._broken = [""], False
        text = "\n".join(line for line in lines if line)
        if not text:
            return
        if self._level:
            self._blocks.append(("heading", "#" * self._level + " " + text.replace("\n", " ")))
            return
        text = _LOOKS_LIKE_MARKUP.sub(r"\\", text)
        if self._marker:
            self._blocks.append(("item", self._marker + text))
            self._marker = ""
        else:
            self._blocks.append(("row" if " | " in text and "\n" not in text else "paragraph", text))

    def code(self, text: str) -> None:
        """A block of preformatted text."""
        self.end()
        text = re.sub(r"\A(?:[ \t]*\n)+|\s+\Z", "", text)
        if text:
            fence = "```"
            while fence in text:
                fence += "`"
            self._blocks.append(("code", f"{fence}\n{text}\n{fence}"))

    def text(self) -> str:
        """All blocks: the items of a list and the rows of a table on lines of their own, the rest parted by blanks."""
        written = ""
        before = ""
        for kind, block in self._blocks:
            together = kind == before and kind in ("item", "row")
            written += ("\n" if together else "\n\n") + block
            before = kind
        return written


def _joined(line: str) -> str:
    """White space collapsed; the cells of a row joined."""
    cells = [" ".join(unescape(cell).split()) for cell in line.split("\t")]
    return " | ".join(cell for cell in cells if cell)
