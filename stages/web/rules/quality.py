"""Gopher's and FineWeb's rules of quality: how words and lines of running text look.

Rae et al. 2021 (arXiv:2112.11446), appendix A; Penedo et al. 2024 (arXiv:2406.17557), section 3.6. They decide as
datatrove's GopherQualityFilter and FineWebQualityFilter do.
"""

from collections.abc import Sequence

import numpy as np
from datatrove.utils.text import TERMINAL_PUNCTUATION
from pydantic import NonNegativeFloat, NonNegativeInt

from stages.core.params import Share, params
from stages.web.rules.page import Page
from stages.web.rules.repetition import repeats
from stages.web.rules.rule import AtLeast, AtMost
from stages.web.rules.words import ALPHABETIC, SYMBOLIC, Words


@params
class Gopher:
    """Bounds on words and lines; shares are 0–1."""

    min_words: NonNegativeInt
    """Words other than punctuation, at least."""
    max_words: NonNegativeInt
    """Words other than punctuation, at most."""
    min_word_length: NonNegativeFloat
    """Mean characters of those words, at least."""
    max_word_length: NonNegativeFloat
    """Mean characters of those words, at most."""
    max_symbols: NonNegativeFloat
    """Hash signs, and likewise ellipses, per word, at most."""
    max_bullets: Share
    """Share of lines that start with a bullet, at most."""
    max_ellipses: Share
    """Share of lines that end in an ellipsis, at most."""
    min_alphabetic: Share
    """Share of words that have a letter, at least."""
    min_stop_words: NonNegativeInt
    """Different stop words of the language, at least."""


@params
class FineWeb:
    """Bounds on lines; shares are 0–1. Blank lines, and those that C4's rules do not see, do not count."""

    min_punctuation: Share
    """Share of lines that end a sentence, at least."""
    max_short_lines: Share
    """Share of short lines, at most."""
    max_repeated_characters: Share
    """Share of characters in lines that came before, at most."""
    max_newlines: NonNegativeFloat
    """Line breaks per word, at most: more is a list."""


GOPHER = (
    AtLeast("gopher_too_few_words", "words", lambda limits: limits.gopher.min_words),
    AtMost("gopher_too_many_words", "words", lambda limits: limits.gopher.max_words),
    AtLeast("gopher_short_words", "word_length", lambda limits: limits.gopher.min_word_length),
    AtMost("gopher_long_words", "word_length", lambda limits: limits.gopher.max_word_length),
    AtMost("gopher_hashes", "hashes", lambda limits: limits.gopher.max_symbols),
    AtMost("gopher_ellipses", "ellipses", lambda limits: limits.gopher.max_symbols),
    AtMost("gopher_bullets", "bullet_lines", lambda limits: limits.gopher.max_bullets),
    AtMost("gopher_line_ellipses", "ellipsis_lines", lambda limits: limits.gopher.max_ellipses),
    AtLeast("gopher_not_alphabetic", "alphabetic", lambda limits: limits.gopher.min_alphabetic),
    AtLeast("gopher_stop_words", "stop_words", lambda limits: limits.gopher.min_stop_words),
)
FINEWEB = (
    AtLeast("fineweb_line_punctuation", "ended_lines", lambda limits: limits.fineweb.min_punctuation),
    AtMost("fineweb_short_lines", "short_lines", lambda limits: limits.fineweb.max_short_lines),
    AtMost("fineweb_repeated_lines", "repeated_text", lambda limits: limits.fineweb.max_repeated_characters),
    AtMost("fineweb_newlines", "newlines", lambda limits: limits.fineweb.max_newlines),
)


def gopher_scores(page: Page) -> dict[str, float]:
    """What Gopher's rules judge; the text is not blank."""
    words, lines = page.words, page.stripped
    lengths = words.lengths[~words.are(SYMBOLIC)]
    return {
        "words": len(lengths),
        "word_length": float(lengths.mean()) if len(lengths) else 0.0,
        "hashes": page.text.count("#") / len(words),
        "ellipses": (page.text.count("...") + page.text.count("…")) / len(words),
        "bullet_lines": sum([line.startswith(("•", "-")) for line in lines]) / len(lines),
        "ellipsis_lines": sum([line.endswith(("...", "…")) for line in lines]) / len(lines),
        "alphabetic": np.count_nonzero(words.are(ALPHABETIC)) / len(words),
        "stop_words": int(np.count_nonzero(np.bincount(words.stop, minlength=1)[1:])),
    }


def fineweb_scores(lines: Sequence[str], words: Words, short: int) -> dict[str, float]:
    """What FineWeb's rules judge.

    Args:
        lines: Lines of running text, at least one; none is blank.
        words: Their words.
        short: Characters up to which a line is short.
    """
    _, repeated = repeats(lines)
    return {
        "ended_lines": sum([line[-1] in TERMINAL_PUNCTUATION for line in lines]) / len(lines),
        "short_lines": sum([len(line) <= short for line in lines]) / len(lines),
        "repeated_text": repeated / sum(map(len, lines)),
        "newlines": (len(lines) - 1) / len(words),
    }
