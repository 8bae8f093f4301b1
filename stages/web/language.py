"""The language of a text, by the model that py3langid carries in its package: 97 languages, naive Bayes over bytes."""

import functools
import re

from py3langid.langid import MODEL_FILE, LanguageIdentifier

_CODE = re.compile(r"^(`{3,})$.*?^\1$", re.DOTALL | re.MULTILINE)


@functools.cache
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def identify(text: str, characters: int) -> tuple[str, float]:
    """ISO 639-1 code of the language that a text is most likely in, and how likely, 0–1.

    Args:
        text: Any text, in NFC.
        characters: How many of its characters to look at, from its middle: pages begin and end with what is the same
            on all. Time is linear in it.
    """
    prose = _CODE.sub("", text).strip() or text  # code is in no language, whatever its words are
    start = max((len(prose) - characters) // 2, 0)
    language, score = _identifier().classify(prose[start : start + characters])
    return language, round(float(score), 4)
