"""C4's rules, which judge and remove single lines: scripts, policies, placeholder text, too few sentences.

Raffel et al. 2020 (arXiv:1910.10683), section 2.2. Decides as datatrove's C4QualityFilter does. That filter also takes
headings, code, list items and blank lines out of the text, being short; here the rules after it see the text as it
leaves it (``Lines.seen``), while the document keeps its structure (``Lines.text``) where the parameters say so.
"""

import re
import unicodedata
from dataclasses import dataclass, replace

from datatrove.utils.text import TERMINAL_PUNCTUATION

from stages.core.params import params
from stages.web import words


@params
class C4:
    """What makes a line or a page unfit."""

    min_sentences: int
    """Sentences in the lines that are left, at least."""
    min_line_words: int
    """Words of a line; shorter lines are not seen by this and later rules."""
    keep_structure: bool
    """Leave lines that are shorter, blank or inside a code block in the document all the same."""
    max_word_length: int
    """Characters of a word; a line with a longer one is removed."""
    end_punctuation: bool
    """Remove lines that do not end in a terminal punctuation mark."""
    javascript: bool
    """Remove lines that mention Javascript."""
    policy: bool
    """Remove lines that mention terms of use, privacy or cookies."""
    citations: bool
    """Remove marks such as [1] and [edit] from lines."""
    lorem_ipsum: bool
    """Drop pages with the placeholder text."""
    curly_bracket: bool
    """Drop pages with a curly bracket."""


@dataclass(frozen=True)
class Lines:
    """What the line rules leave of a page."""

    seen: str
    """Lines that count as text, stripped; what the rules that follow judge."""
    text: str
    """What the document becomes."""
    removed: int
    """Lines taken out of the document."""


_POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
_CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
_BLANK_LINES = re.compile(r"\n{3,}")
_SHORT, _REMOVED, _SEEN = range(3)


def clean(text: str, rules: C4) -> Lines | str:
    """The lines of ``text`` that stay, or the reason to drop the page."""
    rules = _applicable(text, rules)
    seen: list[str] = []
    kept: list[str] = []
    removed = 0
    code = False
    for line in text.splitlines():
        stripped = line.strip()
        fence = stripped.startswith("```")
        shown = _CITATION.sub("", stripped) if rules.citations else stripped
        verdict = _judge(stripped, shown, rules)
        if isinstance(verdict, str):
            return verdict
        if verdict == _SEEN:
            seen.append(shown)
        if rules.keep_structure and (code or fence or verdict == _SHORT):
            kept.append(line.rstrip())
        elif verdict == _SEEN:
            kept.append(line.rstrip() if shown is stripped else shown)
        else:
            removed += 1
        code ^= fence
    if not _enough_sentences(seen, rules.min_sentences):
        return "c4_too_few_sentences"
    return Lines("\n".join(seen), _BLANK_LINES.sub("\n\n", "\n".join(kept)).strip("\n"), removed)


def _applicable(text: str, rules: C4) -> C4:
    """The rules less those that no line of ``text`` can break: lines are many, and most pages have none of it."""
    lower = text.lower()
    return replace(
        rules,
        javascript=rules.javascript and "javascript" in lower,
        policy=rules.policy and any(policy in lower for policy in _POLICIES),
        lorem_ipsum=rules.lorem_ipsum and "lorem ipsum" in lower,
        curly_bracket=rules.curly_bracket and "{" in text,
    )


def _judge(stripped: str, shown: str, rules: C4) -> int | str:
    """What is done with a line; a reason where the whole page is dropped. In the order of datatrove's filter."""
    pieces = stripped.split()
    if len(stripped) > rules.max_word_length and any(len(piece) > rules.max_word_length for piece in pieces):
        return _REMOVED
    if rules.end_punctuation and (not shown.endswith((".", "?", "!", '"', "'")) or shown.endswith("...")):
        return _REMOVED
    if len(pieces) < rules.min_line_words:
        return _SHORT
    if not (rules.lorem_ipsum or rules.javascript or rules.curly_bracket or rules.policy):
        return _SEEN
    lower = shown.lower()
    if rules.lorem_ipsum and "lorem ipsum" in lower:
        return "c4_lorem_ipsum"
    if rules.javascript and "javascript" in lower:
        return _REMOVED
    if rules.curly_bracket and "{" in shown:
        return "c4_curly_bracket"
    if rules.policy and any(policy in lower for policy in _POLICIES):
        return _REMOVED
    return _SEEN


def _enough_sentences(lines: list[str], least: int) -> bool:
    count = len(lines)  # a line is one sentence at least
    for line in lines:
        if count >= least:
            break
        count += sentences(line) - 1
    return count >= least


def sentences(line: str) -> int:
    """Sentences of a line: one begins with the first word after a mark that ends one, as in spaCy's sentencizer."""
    count, ended = 1, False
    for word in (word for piece in line.split() for word in words.split(piece)):
        if word in TERMINAL_PUNCTUATION:
            ended = True
        elif ended and not all(unicodedata.category(character).startswith("P") for character in word):
            count += 1
            ended = False
    return count
