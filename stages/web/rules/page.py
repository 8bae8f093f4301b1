"""A document as the rules see it: its text, and its lines and words, found once and shared."""

from collections.abc import Sequence
from functools import cached_property

from stages.web.rules import segmentation
from stages.web.rules.words import Vocabulary, Words


class Page:
    """One text under judgement.

    Args:
        text: What the rules judge.
        vocabulary: That of the text's language; tokenises.
    """

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self.text = text
        self._vocabulary = vocabulary

    @cached_property
    def lines(self) -> list[str]:
        """Lines of the text, the blank ones too."""
        return self.text.splitlines()

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
