"""Lists of obscene and hateful words that come with the project's libraries.

They are those of glin-profanity (MIT): for 24 languages the "List of Dirty, Naughty, Obscene and Otherwise Bad Words"
(CC BY 4.0) with additions.
"""

import json
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # fingerprints know by it whose lists these are; to import the package, for its scanners, takes 0.1 s
    import glin_profanity  # noqa: F401

_FILES = {
    "ar": "arabic",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "en": "english",
    "eo": "esperanto",
    "es": "spanish",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "hi": "hindi",
    "hu": "hungarian",
    "it": "italian",
    "ja": "japanese",
    "ko": "korean",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ru": "russian",
    "sv": "swedish",
    "th": "thai",
    "tr": "turkish",
    "zh": "chinese",
}


def shipped(language: str) -> list[str]:
    """Words and phrases of a language, ISO 639-1, in lower case; none for a language without a list."""
    if language not in _FILES:
        return []
    file = metadata.distribution("glin-profanity").locate_file(
        f"glin_profanity/data/dictionaries/{_FILES[language]}.json"
    )
    words: list[str] = json.loads(Path(str(file)).read_text("utf-8"))["words"]
    return words
