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

from stages.web.sources.wikitext_blocks import INDENTED, Blocks, fenced

_TOKEN = re.compile(
    r"(?P<open>\{{2,})|(?P<close>\}{2,})|(?P<link>\[\[)|(?P<end>\]\]?)|(?P<external>\[(?=(?:https?:|ftp:)?//))"
    r"|<(?P<slash>/?)(?P<tag>[a-zA-Z][a-zA-Z0-9]*)(?P<rest>[^<>]*)>|(?P<quotes>'{2,})|(?P<magic>__[A-Z]+__)"
    r"|(?P<indent>\n +(?=[^\s]))"
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

# Templates that show words of the sentence they stand in: which of what they are given, and what is set between.
_LAST, _FIRST, _BOTH = slice(-1, None), slice(1), slice(2)
_SHOWN = {
    **dict.fromkeys(
        ("lang", "transl", "translit", "transliteration", "nowrap", "nobr", "nobreak", "small"), (_LAST, "")
    ),
    **dict.fromkeys(("sub", "num", "langx"), (_LAST, "")),
    **dict.fromkeys(
        ("abbr", "tooltip", "quote", "blockquote", "cquote", "zitat", "citation bloc", "cita"), (_FIRST, "")
    ),
    # Names of those who have no article here but one elsewhere, or one in two scripts.
    **dict.fromkeys(("ill", "interlanguage link", "仮リンク", "le", "link-en", "link-ja", "nihongo"), (_FIRST, "")),
    **dict.fromkeys(("flag", "flagcountry", "nb", "nombre", "s", "s-", "siècle"), (_FIRST, "")),
    **dict.fromkeys(("sortname", "ship"), (_BOTH, " ")),
    **dict.fromkeys(("date", "date-", "date de naissance", "date de décès"), (slice(3), " ")),
    "chem": (slice(None), ""),
}
_UNTRANSLATED = {"не переведено", "не переведено 3", "не переведено 5", "нп3", "нп5"}  # a title, and what to show of it
_SHIPS = {"hmas", "hmcs", "hms", "rms", "sms", "ss", "uss"}  # named behind the template's own name
_MEASURES = {"convert", "cvt", "unité", "unit"}
_SIGNS = {
    "snd": " – ", "spaced ndash": " – ", "spaced en dash": " – ", "dash": " – ", "ndash": "–", "mdash": "—",
    "nbsp": " ", "'": "'", "1er": "1er", "1re": "1re",
}  # fmt: skip
_EXPONENT = re.compile(r"(?:[+\-\u2212\u2013]|&minus;)?[0-9]+\s*</")  # 10<sup>6</sup> is not 106
_PLACE = re.compile(r"\s*\d\s*=")

# A file, also where its namespace goes by an old name, which a dump does not tell.
_MEDIA = re.compile(r"[^:]+:.*\.(?:jpe?g|png|gif|svg|tiff?|webp|og[gav]|webm|mp3|wav|flac|midi?|djvu)", re.I | re.S)

_KEPT = re.compile("\x00(\\d+)\x00")
_VARIANT = re.compile(r"-\{(?:[^{}|]{0,40}\|)?(?:[a-z-]{2,10}:)?([^{};]*)(?:;[^{}]*)?\}-")


def to_markdown(wikitext: str, hidden: Collection[str]) -> str:
    """Headings, paragraphs, lists, table rows and code of a page; empty where nothing is left.

    Args:
        wikitext: The source of a page.
        hidden: Namespaces in lower case, such as file and category, whose links show nothing in the text.
    """
    kept: list[str] = []
    bare = _without_comments(wikitext.replace("\x00", "").replace(INDENTED, ""))
    text = _inline(f"\n{bare}", hidden, kept)
    blocks = Blocks()
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
    in_block = False  # behind the start of an element of HTML, where spaces before a line mean nothing
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
        elif found["indent"]:
            shown_as_written = len(stack) == 1 and not in_block
            stack[-1].parts.append(f"\n{INDENTED}{found['indent'][1:]}" if shown_as_written else found["indent"])
        elif found["tag"]:
            in_block = not found["slash"] if found["tag"].lower() in _BLOCKS else in_block
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
    places = [_PLACE.sub("", one, count=1).strip() for one in given if "=" not in one or _PLACE.match(one)]
    if name in _MEASURES:
        return " ".join(places[: 4 if len(places) > 3 and places[2].isdecimal() else 2])
    if name in _UNTRANSLATED:
        return next(filter(None, [*places[1:2], *places[:1]]), "")
    if name in _SHIPS:
        return " ".join([name.upper(), *places[:1]])
    chosen, between = _SHOWN.get("lang" if name.startswith("lang-") else name, (slice(0), ""))
    return _SIGNS.get(name, between.join(places[chosen]))


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
            kept.append(fenced(re.sub(r"\A(?:[ \t]*\n)+|\s+\Z", "", unescape(content))))
            return f"\n\n\x00{len(kept) - 1}\x00\n\n", at
        kept.append(" ".join(unescape(content).split()) if name != "math" else f"${' '.join(content.split())}$")
        return f"\x00{len(kept) - 1}\x00", at
    if name in _BLOCKS:
        return "\n", at
    if name == "sup" and _EXPONENT.match(text, at) and text[found.start() - 1].isalnum():
        return "^", at
    return (" " if name in ("br", "td", "th", "hr") else ""), at
