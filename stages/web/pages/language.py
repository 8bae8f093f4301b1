"""The language of a text, by the model that py3langid carries in its package: 97 languages, naive Bayes over bytes."""

import functools
import re
from collections import Counter

from py3langid.langid import MODEL_FILE, LanguageIdentifier

_CODE = re.compile(r"^(`{3,})$.*?^\1$", re.DOTALL | re.MULTILINE)


@functools.cache
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def identify(text: str, windows: int, characters: int) -> tuple[str, float]:
    """ISO 639-1 code of the language that most of a text is in, and how certain that is of all of it, 0–1.

    A page that is half translated has two languages; its score says so, because it is the mean over windows spread
    evenly over the text.

    Args:
        text: Any text, in NFC.
        windows: How many places to look at.
        characters: How many characters to look at in each. Time is linear in the product.
    """
    prose = _CODE.sub("", text).strip() or text  # code is in no language, whatever its words are
    scores: Counter[str] = Counter()
    for window in _spread(prose, windows, characters):
        scores.update({language: float(score) for language, score in _identifier().rank(window)})
    language, score = max(scores.items(), key=lambda item: (item[1], item[0]))
    return language, round(score / scores.total(), 4)


def _spread(text: str, windows: int, characters: int) -> list[str]:
    """Windows at the middles of as many equal parts of the text; the text itself where it is no longer than they."""
    if len(text) <= windows * characters:
        return [text]
    middles = [len(text) * (2 * part + 1) // (2 * windows) for part in range(windows)]
    return [text[middle - characters // 2 : middle + characters // 2] for middle in middles]
