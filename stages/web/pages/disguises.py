"""Pages as they might have been made elsewhere or earlier, so that a model does not lean on names, tags or letters."""

import random
import re
import zlib

_NAMES = re.compile(r'\s(?:class|id|role|itemprop|style|hidden|aria-hidden)="[^"]*"')
_NEW_TAGS = re.compile(
    r"<(/?)(?:article|section|main|nav|header|footer|aside|figure|figcaption|address|details|summary|dialog)\b"
)
_TEXT = re.compile(r"(?<=>)[^<>]+(?=<)")
_PLAIN = re.compile(r"&\w+;|[^&]+")
_WORD = re.compile(r"[^\W\d_]+")


def disguised(tree: str, rng: random.Random) -> str:
    """A serialised page without its class names, without the tags that HTML5 brought, in small letters or ideographs.

    Each with its own probability. Its blocks stay the same, one for one.
    """
    if rng.random() < 0.75:
        tree = _NAMES.sub("", tree)
    if rng.random() < 0.6:
        tree = _NEW_TAGS.sub(r"<\1div", tree)
    small, ideographs = rng.random() < 0.2, rng.random() < 0.25
    if small or ideographs:
        change = _in_ideographs if ideographs else str.lower
        body = max(tree.find("<body"), 0)
        tree = tree[:body] + _TEXT.sub(
            lambda text: _PLAIN.sub(lambda run: run[0] if run[0][0] == "&" else change(run[0]), text[0]), tree[body:]
        )
    return tree


def _in_ideographs(text: str) -> str:
    """A text in a script without spaces, one ideograph for three letters, with that script's punctuation."""
    text = _WORD.sub(lambda word: "".join(_ideograph(word[0], at) for at in range((len(word[0]) + 2) // 3)), text)
    text = re.sub(r"(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])", "", text)
    return re.sub(r"\.(\s*)\Z", r"。\1", text.replace(", ", "，").replace(". ", "。"))


def _ideograph(word: str, at: int) -> str:
    return chr(0x4E00 + zlib.crc32(f"{word}{at}".encode("utf-8", "replace")) % 20_000)
