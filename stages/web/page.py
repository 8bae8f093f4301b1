"""A document as the rules see it: its text, and its lines and words, found once and shared."""

from functools import cached_property

from stages.web.words import Vocabulary, Words


class Page:
    """One text under judgement.

    Args:
        text: What the rules judge.
        vocabulary: That of the shard; tokenises.
    """

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self.text = text
        self._vocabulary = vocabulary

    @cached_property
    def words(self) -> Words:
        """Words of the text, punctuation marks being words of their own."""
        return self._vocabulary.words(self.text)

    @cached_property
    def lines(self) -> list[str]:
        """Lines of the text, the blank ones too."""
        return self.text.splitlines()
