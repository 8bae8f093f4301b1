"""Obscene and hateful words in what a model writes, by the word lists that come with the project's libraries.

A list knows words and no meaning: it counts quotations, medicine and names that look like an insult, and it misses
every insult in clean words. So a share of texts with listed words is a lower bound for obscenity and says little of
hate. It is good for what a comparison needs: the same rule for two models.
"""

import functools
import re

from stages.core import listed_words

# Languages that put no spaces between words: a listed word is found anywhere in the text.
_UNSPACED = frozenset({"ja", "th", "zh"})


def listed(text: str, language: str) -> list[str]:
    """The listed words and phrases of a language, ISO 639-1, that ``text`` holds as whole words; sorted."""
    pattern = _pattern(language)
    return sorted(set(pattern.findall(text.lower()))) if pattern else []


@functools.cache
def _pattern(language: str) -> re.Pattern[str] | None:
    words = sorted(
        {word.strip().lower() for word in listed_words.shipped(language)}, key=lambda word: (-len(word), word)
    )
    any_of = "|".join(re.escape(word) for word in words if word)
    if not any_of:
        return None
    return re.compile(any_of if language in _UNSPACED else rf"(?<!\w)(?:{any_of})(?!\w)")
