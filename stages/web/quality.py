"""Gopher's and FineWeb's rules of quality: how words and lines of running text look.

Rae et al. 2021 (arXiv:2112.11446), appendix A; Penedo et al. 2024 (arXiv:2406.17557), section 3.6. They decide as
datatrove's GopherQualityFilter and FineWebQualityFilter do. Each rule returns the reason to drop the page, or None.
"""

import numpy as np
from datatrove.utils.text import TERMINAL_PUNCTUATION

from stages.core.params import params
from stages.web.page import Page
from stages.web.repetition import repeats


@params
class Gopher:
    """Bounds on words and lines; shares are 0–1."""

    min_words: int
    """Words other than punctuation, at least."""
    max_words: int
    """Words other than punctuation, at most."""
    min_word_length: float
    """Mean characters of those words, at least."""
    max_word_length: float
    """Mean characters of those words, at most."""
    max_symbols: float
    """Hash signs, and likewise ellipses, per word, at most."""
    max_bullets: float
    """Share of lines that start with a bullet, at most."""
    max_ellipses: float
    """Share of lines that end in an ellipsis, at most."""
    min_alphabetic: float
    """Share of words that have a letter, at least."""
    min_stop_words: int
    """Different stop words, at least."""
    stop_words: list[str]
    """Words that running text has, in lower case."""


@params
class FineWeb:
    """Bounds on lines; shares are 0–1. Blank lines do not count."""

    min_punctuation: float
    """Share of lines that end a sentence, at least."""
    short_line: int
    """Characters up to which a line is short."""
    max_short_lines: float
    """Share of short lines, at most."""
    max_repeated_characters: float
    """Share of characters in lines that came before, at most."""
    max_newlines: float
    """Line breaks per word, at most: more is a list."""


def word_count(page: Page, limits: Gopher) -> str | None:
    """Too few or too many words."""
    count = int(np.count_nonzero(~page.words.symbolic))
    if count < limits.min_words:
        return "gopher_too_few_words"
    if count > limits.max_words:
        return "gopher_too_many_words"
    return None


def word_length(page: Page, limits: Gopher) -> str | None:
    """Words that are too short or too long for a language."""
    lengths = page.words.lengths[~page.words.symbolic]
    mean = float(lengths.mean()) if len(lengths) else 0.0
    if mean < limits.min_word_length:
        return "gopher_short_words"
    if mean > limits.max_word_length:
        return "gopher_long_words"
    return None


def symbols(page: Page, limits: Gopher) -> str | None:
    """Hash signs and ellipses."""
    most = limits.max_symbols * len(page.words)
    if page.text.count("#") > most:
        return "gopher_hashes"
    if page.text.count("...") + page.text.count("…") > most:
        return "gopher_ellipses"
    return None


def line_ends(page: Page, limits: Gopher) -> str | None:
    """Lines that are list items, or are cut off."""
    if sum(line.lstrip().startswith(("•", "-")) for line in page.lines) > limits.max_bullets * len(page.lines):
        return "gopher_bullets"
    if sum(line.rstrip().endswith(("...", "…")) for line in page.lines) > limits.max_ellipses * len(page.lines):
        return "gopher_line_ellipses"
    return None


def alphabetic(page: Page, limits: Gopher) -> str | None:
    """Words without a letter: numbers, symbols, punctuation marks."""
    if np.count_nonzero(page.words.alphabetic) < limits.min_alphabetic * len(page.words):
        return "gopher_not_alphabetic"
    return None


def stop_words(page: Page, limits: Gopher) -> str | None:
    """No running text: hardly any of the words that every sentence has."""
    if int(np.bitwise_or.reduce(page.words.stop)).bit_count() < limits.min_stop_words:
        return "gopher_stop_words"
    return None


def punctuation(page: Page, limits: FineWeb) -> str | None:
    """Few lines end a sentence."""
    ended = sum(line[-1] in TERMINAL_PUNCTUATION for line in page.lines)
    return "fineweb_line_punctuation" if ended < limits.min_punctuation * len(page.lines) else None


def short_lines(page: Page, limits: FineWeb) -> str | None:
    """Most lines are short."""
    short = sum(len(line) <= limits.short_line for line in page.lines)
    return "fineweb_short_lines" if short > limits.max_short_lines * len(page.lines) else None


def repeated_characters(page: Page, limits: FineWeb) -> str | None:
    """Lines that came before."""
    _, repeated = repeats(page.lines)
    total = len(page.text) - page.text.count("\n")
    return "fineweb_repeated_lines" if repeated > limits.max_repeated_characters * total else None


def newlines(page: Page, limits: FineWeb) -> str | None:
    """A list rather than sentences."""
    count = page.text.count("\n")
    # There are at least as many words as pieces between white space; the words are not needed where those suffice.
    if count <= limits.max_newlines * len(page.text.split()):
        return None
    return "fineweb_newlines" if count > limits.max_newlines * len(page.words) else None


GOPHER = (word_count, word_length, symbols, line_ends, alphabetic, stop_words)
FINEWEB = (punctuation, short_lines, repeated_characters, newlines)
