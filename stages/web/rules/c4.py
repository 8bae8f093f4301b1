"""C4's rules, which judge and remove single lines: scripts, policies, placeholder text, too few sentences.

Raffel et al. 2020 (arXiv:1910.10683), section 2.2. Decides as datatrove's C4QualityFilter does. That filter also takes
headings, code, list items and blank lines out of the text, being short; here the rules after it see the text as it
leaves it (``Lines.seen``), while the document keeps its structure (``Lines.text``) where the parameters say so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from stages.core.params import params
from stages.web.rules.page import Page
from stages.web.rules.rule import AtLeast, AtMost
from stages.web.rules.words import PUNCTUATION, TERMINAL, Words


@params
class Cleaning:
    """Which lines are taken out; rules that follow judge the rest."""

    min_words: NonNegativeInt
    """Words of a line; shorter lines are not seen by this and later rules."""
    keep_structure: bool
    """Leave lines that are shorter, blank or inside a code block in the document all the same."""
    max_word_length: PositiveInt
    """Characters of a word; a line with a longer one is removed."""
    end_punctuation: bool
    """Remove lines that do not end in a terminal punctuation mark."""
    javascript: bool
    """Remove lines that mention Javascript."""
    policy: bool
    """Remove lines that mention terms of use, privacy or cookies."""
    citations: bool
    """Remove marks such as [1] and [edit] from lines."""


@params
class C4:
    """What makes a page unfit."""

    min_sentences: NonNegativeInt
    """Sentences in the lines that are left, at least."""
    lorem_ipsum: bool
    """Drop pages with the placeholder text."""
    curly_bracket: bool
    """Drop pages with a curly bracket."""


RULES = (
    AtMost("c4_lorem_ipsum", "lorem_ipsum", lambda limits: 0 if limits.c4.lorem_ipsum else None),
    AtMost("c4_curly_bracket", "curly_brackets", lambda limits: 0 if limits.c4.curly_bracket else None),
    AtLeast("c4_too_few_sentences", "sentences", lambda limits: limits.c4.min_sentences),
    AtLeast("empty", "seen_lines", lambda _: 1),
)


@dataclass(frozen=True)
class Lines:
    """What the line rules leave of a page."""

    seen: list[str]
    """Lines that count as text, stripped; what the rules that follow judge."""
    words: Words
    """Their words."""
    text: str
    """What the document becomes."""
    removed: int
    """Lines taken out of the document."""
    lorem_ipsum: int
    """Lines with the placeholder text."""
    curly_brackets: int
    """Lines with a curly bracket, those aside that are removed for a script."""


# In the languages that the parameters of the project have rules for; what is written by the same words is left out.
_POLICIES = (
    *("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"),
    *("nutzungsbedingungen", "datenschutzerklärung", "cookie-richtlinie", "verwendet cookies", "verwenden cookies"),
    *("conditions d'utilisation", "politique de confidentialité", "utilise des cookies", "utilisons des cookies"),
    *("condiciones de uso", "política de privacidad", "política de cookies", "utiliza cookies", "utilizamos cookies"),
    *("условия использования", "политика конфиденциальности", "политику конфиденциальности", "использует cookie"),
    *("使用条款", "隐私政策", "隱私權政策", "使用cookie", "使用 cookie"),
    *("شروط الاستخدام", "سياسة الخصوصية", "ملفات تعريف الارتباط"),
)
# What every line with one of them has: fewer to look for.
_HINTS = ("cookie", *(policy for policy in _POLICIES if "cookie" not in policy))
_CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
_BLANK_LINES = re.compile(r"\n{3,}")
_SHORT, _REMOVED, _SEEN = range(3)


@dataclass
class _Judge:
    """Says what is done with a line, in the order of datatrove's filter, and counts what is only looked at.

    The marks that the page has not at all are not looked for in its lines: lines are many, and most pages have none.
    """

    rules: Cleaning
    lorem_ipsum: bool
    javascript: bool
    curly_bracket: bool
    policy: bool
    lorem_ipsums: int = 0
    curly_brackets: int = 0

    def __call__(self, page: Page, shown: Sequence[str]) -> list[int]:
        """What is done with each line of a page, which without citations is as in ``shown``."""
        lines = zip(page.stripped, shown, page.pieces, strict=True)
        if self.lorem_ipsum or self.javascript or self.curly_bracket or self.policy or self.rules.end_punctuation:
            return [self._line(*line) for line in lines]
        few, long = self.rules.min_words, self.rules.max_word_length
        return [
            _REMOVED if len(line) > long and self._has_long_word(pieces) else _SHORT if len(pieces) < few else _SEEN
            for line, _, pieces in lines
        ]

    def _line(self, line: str, shown: str, pieces: Sequence[str]) -> int:
        rules = self.rules
        if len(line) > rules.max_word_length and self._has_long_word(pieces):
            return _REMOVED
        if rules.end_punctuation and (not shown.endswith((".", "?", "!", '"', "'")) or shown.endswith("...")):
            return _REMOVED
        return _SHORT if len(pieces) < rules.min_words else self._marks(shown)

    def _has_long_word(self, pieces: Sequence[str]) -> bool:
        return any(len(piece) > self.rules.max_word_length for piece in pieces)

    def _marks(self, shown: str) -> int:
        lower = shown.lower()
        self.lorem_ipsums += self.lorem_ipsum and "lorem ipsum" in lower
        if self.javascript and "javascript" in lower:
            return _REMOVED
        self.curly_brackets += self.curly_bracket and "{" in shown
        if self.policy and any(policy in lower for policy in _POLICIES):
            return _REMOVED
        return _SEEN


def clean(page: Page, rules: Cleaning) -> Lines:
    """The lines of a page that stay."""
    lower = page.text.lower()
    judge = _Judge(
        rules,
        lorem_ipsum="lorem ipsum" in lower,
        javascript=rules.javascript and "javascript" in lower,
        curly_bracket="{" in lower,
        policy=rules.policy and any(hint in lower for hint in _HINTS),
    )
    citations = rules.citations and _CITATION.search(page.text) is not None
    shown = [_CITATION.sub("", line) for line in page.stripped] if citations else page.stripped
    verdicts = judge(page, shown)
    seen = [
        verdict == _SEEN and line != "" and not line.isspace() for verdict, line in zip(verdicts, shown, strict=True)
    ]
    code = page.code if rules.keep_structure else [False] * len(verdicts)
    kept = [
        _CITATION.sub("", line).rstrip() if citations and verdict == _SEEN and not within else line.rstrip()
        for line, verdict, within in zip(page.source_lines, verdicts, code, strict=True)
        if verdict == _SEEN or within or (rules.keep_structure and verdict == _SHORT)
    ]
    lines = list(compress(shown, seen))
    words = page.words_of(lines) if citations else page.words.of_lines(np.array(seen, np.bool_))
    text = "\n".join(kept)
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    return Lines(lines, words, text.strip("\n"), len(verdicts) - len(kept), judge.lorem_ipsums, judge.curly_brackets)


def scores(lines: Lines) -> dict[str, float]:
    """What the rules for whole pages judge."""
    return {
        "lorem_ipsum": lines.lorem_ipsum,
        "curly_brackets": lines.curly_brackets,
        "sentences": sentences(lines.words),
        "seen_lines": len(lines.seen),
    }


def sentences(words: Words) -> int:
    """Sentences: one begins with a line, and with the first word after a mark that ends one, as spaCy counts."""
    ends = words.are(TERMINAL)
    turning = np.flatnonzero(ends | ~words.are(PUNCTUATION))
    ends, lines = ends[turning], words.lines[turning]
    begun = ends[:-1] & ~ends[1:] & (lines[:-1] == lines[1:])
    return int(np.count_nonzero(np.diff(words.lines)) + np.count_nonzero(begun)) + (len(words) > 0)
