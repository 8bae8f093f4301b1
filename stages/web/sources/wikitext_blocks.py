"""The lines of a wiki page to its blocks: headings, paragraphs, lists, table rows and preformatted text."""

import re
import textwrap
from html import unescape

INDENTED = "\x01"
"""Stands before a line that begins with a space in the source itself, and so is shown as it is written."""

_LONGEST_LINE = 100  # of preformatted text; longer ones are prose whose author put a space before it
_ATTRIBUTES = re.compile(
    r"""\s*(?:(?:style|class|align|valign|colspan|rowspan|bgcolor|width|height|scope|nowrap|id|data-[a-z-]{1,40})
    \s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'|]+)(?:\s+|\Z))+""",
    re.IGNORECASE | re.VERBOSE,
)
_LIST = re.compile(r"[*#:;]+")
_EMPTY_BRACKETS = re.compile(r"[ \u00a0]?\([\s,;:،、，；]*\)|（[\s,;:、，；]*）")
_BRACKET_GAPS = re.compile(r"(?<=[(（])[\s,;]+|[\s,;]{1,8}(?=[)）])")


def fenced(content: str) -> str:
    """Code between fences that do not stand in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", content)), default=0))
    return f"{fence}\n{content}\n{fence}"


class Blocks:
    """Collects blocks while the lines of a page go by."""

    def __init__(self) -> None:
        self._blocks: list[tuple[str, str]] = []  # kind (paragraph, item, row, code, or a level of heading), text
        self._paragraph: list[str] = []
        self._preformatted: list[str] = []  # lines with a space before them
        self._cells: list[list[str]] = []  # of the row under way, each in lines
        self._counters: list[int] = []  # of numbered items, by depth
        self._tables = 0

    def line(self, line: str) -> None:
        """One line of wikitext without links, templates and tags."""
        bare = line.lstrip(f"{INDENTED} :")
        if self._preformatted and not line.startswith(INDENTED):
            self._end()
        if bare.startswith("{|"):
            self._end()
            self._end_row()
            self._tables += 1
        elif self._tables:
            self._table(bare)
        elif line.startswith("=") and line.endswith("=") and line.strip("= "):
            self._end()
            level = min(len(line) - len(line.lstrip("=")), len(line) - len(line.rstrip("=")), 6)
            self._add(str(level), line[level:-level])
        elif marks := _LIST.match(line):
            self._end()
            self._item(marks[0], line[marks.end() :])
        elif line.startswith("----"):
            self._end()
        elif line.startswith(INDENTED):
            if not self._preformatted:
                self._end()
            self._preformatted.append(unescape(line[1:]).rstrip())
        elif line.strip():
            self._paragraph.append(line.strip())
        else:
            self._end()

    def _table(self, line: str) -> None:
        if line.startswith(("|}", "|-")):
            self._end_row()
            self._tables -= line[1] == "}"
        elif line.startswith("|+"):
            self._add("paragraph", _content(line[2:]))
        elif line.startswith(("|", "!")):
            cells = re.split(r"\|\||!!", line[1:]) if line[0] == "!" else line[1:].split("||")
            self._cells += [[_content(cell)] for cell in cells]
        elif self._cells:
            self._cells[-1].append(line)

    def _end_row(self) -> None:
        cells = [" ".join(" ".join(cell).split()) for cell in self._cells]
        self._cells = []
        while cells and not cells[-1]:
            cells.pop()
        self._add("row", " | ".join(cells))

    def _item(self, marks: str, text: str) -> None:
        depth = len(marks)
        self._counters = (self._counters + [0] * depth)[:depth]
        if marks[-1] == "#":
            self._counters[-1] += 1
        marker = {"*": "- ", "#": f"{self._counters[-1]}. "}.get(marks[-1], "")
        if _says_something(_cleaned(text)):
            kind = "item" if marker else "paragraph"
            self._add(kind, "  " * (depth - 1) * bool(marker) + marker + _cleaned(text))

    def _end(self) -> None:
        if self._paragraph:
            self._add("paragraph", " ".join(self._paragraph))
            self._paragraph = []
        lines, self._preformatted = [line for line in self._preformatted if line], []
        if len(lines) > 1 and max(map(len, lines)) <= _LONGEST_LINE:
            self._add("code", fenced(textwrap.dedent("\n".join(lines))))
        else:
            for line in lines:
                self._add("paragraph", line)

    def _add(self, kind: str, text: str) -> None:
        text = text if kind in ("item", "code") else _cleaned(text)
        if _says_something(text):
            self._blocks.append((kind, text))
            if kind != "item":
                self._counters = []

    def text(self) -> str:
        """All blocks, without the headings below which nothing stands."""
        self._end()
        if self._tables:
            self._end_row()
        written: list[str] = []
        after = 0  # level of the heading that comes next; 0 where text does
        below = "end"
        for kind, text in reversed(self._blocks):
            if kind.isdigit():
                level = int(kind)
                if below == "end" or (after and level >= after):
                    continue
                written.append("#" * level + f" {text}\n\n")
                after, below = level, "heading"
                continue
            together = kind == below and kind in ("item", "row")
            written.append(text + ("\n" if together else "\n\n"))
            after, below = 0, kind
        return "".join(reversed(written)).strip("\n")


def _says_something(text: str) -> bool:
    """Whether anything is left of a block but the punctuation around what was taken out of it."""
    return any(map(str.isalnum, text))


def _content(cell: str) -> str:
    """A cell without its attributes, behind which a template may have stood that is no text."""
    attributes, bar, content = cell.partition("|")
    if not bar and "=" in cell and _ATTRIBUTES.fullmatch(cell):
        return ""
    return content if bar and "=" in attributes else cell


def _cleaned(text: str) -> str:
    """White space collapsed, entities as their characters, brackets that lost what was in them removed."""
    text = " ".join(unescape(text).split())
    return _BRACKET_GAPS.sub("", _EMPTY_BRACKETS.sub("", text)).strip()
