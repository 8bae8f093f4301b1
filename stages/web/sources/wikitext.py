"""MediaWiki's markup to the Markdown-like text in which documents are kept: templates, references and files stripped.

Of templates those stay that hold words of the sentence itself, such as ``{{lang|de|Köln}}`` and ``{{nowrap|5 km}}``.

One pass over the tokens with a bounded stack, then one over the lines, so time is linear in the text whatever is in it.
(mwparserfromhell 0.7.2 takes 52 s for 33,000 times ``{|`` and reads 0.5 MB/s of ordinary text.)
Grammar: https://www.mediawiki.org/wiki/Help:Formatting and https://www.mediawiki.org/wiki/Help:Tables.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from html import unescape

_TOKEN = re.compile(
    r"(?P<open>\{{2,})|(?P<close>\}{2,})|(?P<link>\[\[)|(?P<end>\]\]?)|(?P<external>\[(?=(?:https?:|ftp:)?//))"
    r"|<(?P<slash>/?)(?P<tag>[a-zA-Z][a-zA-Z0-9]*)(?P<rest>[^<>]*)>|(?P<quotes>'{2,})|(?P<magic>__[A-Z]+__)"
)
_MAX_DEPTH = 100  # of links and templates within one another; MediaWiki's own limit for templates

# Tags whose content is no wikitext: dropped with it, kept as it is, or kept as code.
_DROPPED = {
    "ref", "references", "gallery", "timeline", "score", "imagemap", "templatestyles", "style", "script", "graph",
    "mapframe", "maplink", "indicator", "categorytree", "inputbox", "hiero", "section",
}  # fmt: skip
_VERBATIM = {"nowiki", "math", "chem", "ce"}
_CODE = {"pre", "syntaxhighlight", "source"}
_BLOCKS = {"p", "div", "blockquote", "center", "poem", "table", "tr", "dl", "dt", "dd", "ul", "ol", "li"}

# Templates that show words of the sentence they stand in: their last, their first, or a number with its unit.
_LAST = {"lang", "transl", "translit", "transliteration", "nowrap", "nobr", "nobreak", "small"}
_FIRST = {"abbr", "tooltip", "quote", "blockquote", "cquote", "zitat", "citation bloc", "cita"}
_MEASURES = {"convert", "cvt", "unité", "unit"}
_PLACE = re.compile(r"\s*\d\s*=")

# A file, also where its namespace goes by an old name, which a dump does not tell.
_MEDIA = re.compile(r"[^:]+:.*\.(?:jpe?g|png|gif|svg|tiff?|webp|og[gav]|webm|mp3|wav|flac|midi?|djvu)", re.I | re.S)

_KEPT = re.compile("\x00(\\d+)\x00")
_VARIANT = re.compile(r"-\{(?:[^{}|]{0,40}\|)?(?:[a-z-]{2,10}:)?([^{};]*)(?:;[^{}]*)?\}-")
_LIST = re.compile(r"[*#:;]+")
_EMPTY_BRACKETS = re.compile(r"[ \u00a0]?\([\s,;:،、，；]*\)|（[\s,;:、，；]*）")
_BRACKET_GAPS = re.compile(r"(?<=[(（])[\s,;]+|[\s,;]{1,8}(?=[)）])")


def to_markdown(wikitext: str, hidden: Collection[str]) -> str:
    """Headings, paragraphs, lists, table rows and code of a page; empty where nothing is left.

    Args:
        wikitext: The source of a page.
        hidden: Namespaces in lower case, such as file and category, whose links show nothing in the text.
    """
    kept: list[str] = []
    text = _inline(_without_comments(wikitext.replace("\x00", "")), hidden, kept)
    blocks = _Blocks()
    for line in _VARIANT.sub(r"\1", text).split("\n"):
        blocks.line(line.rstrip())
    return _KEPT.sub(lambda found: kept[int(found[1])], blocks.text())


def _without_comments(text: str) -> str:
    parts = []
    at = 0
    while (begin := text.find("<!--", at)) >= 0 and (end := text.find("-->", begin)) >= 0:
        parts.append(text[at:begin])
        at = end + 3
    return "".join([*parts, text[at:]])


@dataclass
class _Frame:
    """What has been opened and not closed."""

    kind: str
    """text, template, link or external."""
    parts: list[str] = field(default_factory=list)
    braces: int = 0


def _inline(text: str, hidden: Collection[str], kept: list[str]) -> str:
    """The text without templates, tags and quotes, links as they are shown; ``kept`` takes what is no wikitext."""
    stack = [_Frame("text")]
    unclosed: set[str] = set()  # tags that are nowhere closed behind here
    at = 0
    while found := _TOKEN.search(text, at):
        stack[-1].parts.append(text[at : found.start()])
        at = found.end()
        if found["open"]:
            _open(stack, _Frame("template", braces=len(found["open"])))
        elif found["link"]:
            _open(stack, _Frame("link"))
        elif found["external"]:
            _open(stack, _Frame("external"))
        elif found["close"]:
            _close_template(stack, len(found["close"]))
        elif found["end"]:
            at -= _close_link(stack, found["end"], hidden)
        elif found["tag"]:
            shown, at = _tag(text, found, unclosed, kept)
            stack[-1].parts.append(shown)
    stack[-1].parts.append(text[at:])
    while len(stack) > 1:
        _give_up(stack)
    return "".join(stack[0].parts)


def _open(stack: list[_Frame], frame: _Frame) -> None:
    if len(stack) < _MAX_DEPTH:
        stack.append(frame)


def _give_up(stack: list[_Frame]) -> None:
    """What the last frame holds was not meant as such: it is text."""
    frame = stack.pop()
    stack[-1].parts.append("".join(frame.parts))


def _close_template(stack: list[_Frame], braces: int) -> None:
    while braces > 1 and any(frame.kind == "template" for frame in stack):
        while stack[-1].kind != "template":
            _give_up(stack)
        used = min(braces, stack[-1].braces)
        braces -= used
        stack[-1].braces -= used
        if stack[-1].braces < 2:
            content = "".join(stack.pop().parts)
            stack[-1].parts.append(_said(content) if used == 2 else "")
    stack[-1].parts.append("}" * braces)


def _said(template: str) -> str:
    """What a template says that is a part of the sentence; nearly all others are notes, boxes and signs."""
    name, *given = template.split("|")
    name = name.strip().lower().replace("_", " ")
    if name.startswith("formatnum:"):
        return name.removeprefix("formatnum:").strip()
    if name not in _LAST | _FIRST | _MEASURES:
        return ""
    places = [_PLACE.sub("", one, count=1).strip() for one in given if "=" not in one or _PLACE.match(one)]
    if name in _MEASURES:
        return " ".join(places[: 4 if len(places) > 3 and places[2].isdecimal() else 2])
    return "".join(places[:1] if name in _FIRST else places[-1:])


def _close_link(stack: list[_Frame], bracket: str, hidden: Collection[str]) -> int:
    """Close what ``]`` or ``]]`` closes; how many of its characters were not used."""
    kind = stack[-1].kind
    if kind == "external":
        content = "".join(stack.pop().parts)
        _, _, label = content.partition(" ")
        stack[-1].parts.append(f"[{content}]" if "\n" in content else label.strip())
        return len(bracket) - 1
    if kind == "link" and bracket == "]]":
        content = "".join(stack.pop().parts)
        stack[-1].parts.append(_shown(content, hidden))
    else:
        stack[-1].parts.append(bracket)
    return 0


def _shown(link: str, hidden: Collection[str]) -> str:
    """What is seen of ``[[link]]``."""
    target, bar, label = link.partition("|")
    namespace, colon, _ = target.partition(":")
    namespace = namespace.strip().replace("_", " ").lower()
    # [[fr:Titre]] stands for a link in the margin.
    if colon and (
        namespace in hidden
        or _MEDIA.fullmatch(target.strip())
        or (not bar and re.fullmatch(r"[a-z]{2,3}(-[a-z]+)*", namespace))
    ):
        return ""
    return label.rpartition("|")[2] if bar else target.removeprefix(":").partition("#")[0] or target


def _tag(text: str, found: re.Match[str], unclosed: set[str], kept: list[str]) -> tuple[str, int]:
    """What is shown for a tag, and where to go on: behind it, or behind its content where that is no wikitext."""
    name, at = found["tag"].lower(), found.end()
    if name in _DROPPED | _VERBATIM | _CODE and not found["slash"] and not found["rest"].endswith("/"):
        if name in unclosed:
            return "", at
        closing = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(text, at)
        if closing is None:
            unclosed.add(name)
            return "", at
        content, at = text[at : closing.start()], closing.end()
        if name in _DROPPED:
            return "", at
        if name in _CODE:
            content = re.sub(r"\A(?:[ \t]*\n)+|\s+\Z", "", unescape(content))
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", content)), default=0))
            kept.append(f"{fence}\n{content}\n{fence}")
            return f"\n\n\x00{len(kept) - 1}\x00\n\n", at
        kept.append(" ".join(unescape(content).split()) if name != "math" else f"${' '.join(content.split())}$")
        return f"\x00{len(kept) - 1}\x00", at
    if name in _BLOCKS:
        return "\n", at
    return (" " if name in ("br", "td", "th", "hr") else ""), at


class _Blocks:
    """Collects blocks while the lines of a page go by."""

    def __init__(self) -> None:
        self._blocks: list[tuple[str, str]] = []  # kind ("paragraph", "item", "row", or a heading's level), text
        self._paragraph: list[str] = []
        self._cells: list[list[str]] = []  # of the row under way, each in lines
        self._counters: list[int] = []  # of numbered items, by depth
        self._tables = 0

    def line(self, line: str) -> None:
        """One line of wikitext without links, templates and tags."""
        bare = line.lstrip(" :")
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
        if _cleaned(text):
            kind = "item" if marker else "paragraph"
            self._add(kind, "  " * (depth - 1) * bool(marker) + marker + _cleaned(text))

    def _end(self) -> None:
        if self._paragraph:
            self._add("paragraph", " ".join(self._paragraph))
            self._paragraph = []

    def _add(self, kind: str, text: str) -> None:
        text = text if kind == "item" else _cleaned(text)
        if text:
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


def _content(cell: str) -> str:
    """A cell without its attributes."""
    attributes, bar, content = cell.partition("|")
    return content if bar and "=" in attributes else cell


def _cleaned(text: str) -> str:
    """White space collapsed, entities as their characters, brackets that lost what was in them removed."""
    text = " ".join(unescape(text).split())
    return _BRACKET_GAPS.sub("", _EMPTY_BRACKETS.sub("", text)).strip()
