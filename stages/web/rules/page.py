"""A document as the rules see it: its text, and its lines and words, found once and shared."""

import re
from collections.abc import Sequence
from functools import cached_property

from stages.web.rules import segmentation
from stages.web.rules.words import Vocabulary, Words

_HEADING = re.compile(r"\A#{1,6} +")
_FENCE = "```"


class Page:
    """One text under judgement.

    Args:
        text: A document's, Markdown-like.
        vocabulary: That of the text's language; tokenises.
        marks: Whether those of headings and the fences of code are judged as if they were text.
    """

    def __init__(self, text: str, vocabulary: Vocabulary, *, marks: bool = True) -> None:
        self.source = text
        self._vocabulary = vocabulary
        self._marks = marks or ("# " not in text and _FENCE not in text)

    @cached_property
    def text(self) -> str:
        """What the rules judge."""
        return self.source if self._marks else "\n".join(self.lines)

    @cached_property
    def source_lines(self) -> list[str]:
        """Lines of the document, the blank ones too."""
        return self.source.splitlines()

    @cached_property
    def code(self) -> list[bool]:
        """Which lines are in a block of code, its fences included."""
        within = [False] * len(self.source_lines)
        if _FENCE in self.source:
            code = False
            for number, line in enumerate(self.source_lines):
                fence = line.lstrip().startswith(_FENCE)
                within[number] = code or fence
                code ^= fence
        return within

    @cached_property
    def lines(self) -> list[str]:
        """The lines as the rules judge them, as many."""
        if self._marks:
            return self.source_lines
        return [
            ("" if line.lstrip().startswith(_FENCE) else line) if code else _HEADING.sub("", line)
            for line, code in zip(self.source_lines, self.code, strict=True)
        ]

    @cached_property
    def stripped(self) -> list[str]:
        """The lines without white space around them."""
        return [line.strip() for line in self.lines]

    @cached_property
    def pieces(self) -> list[Sequence[str]]:
        """For each line what stands between white space, or, in a language without it, its words."""
        return segmentation.pieces(self.lines, self._vocabulary.language)

    @cached_property
    def words(self) -> Words:
        """Words of the text, punctuation marks being words of their own."""
        return self._vocabulary.words(self.pieces)

    def words_of(self, lines: Sequence[str]) -> Words:
        """Words of ``lines`` that are not those of the text."""
        return self._vocabulary.words(segmentation.pieces(lines, self._vocabulary.language))
