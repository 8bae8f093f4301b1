"""Text that came from the web or from a model, made safe to show: nothing in it acts on the page or the terminal."""

import unicodedata

# Bidirectional embeddings, overrides and isolates: they reorder the text around them ("Trojan Source",
# https://trojansource.codes). Other format characters, such as the joiner inside an emoji, are kept.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: str) -> str:
    """``text`` with control characters, bidi controls and lone surrogates spelled out as ``⟨U+202E⟩``.

    Line breaks and tabs are kept. Terminal escape sequences lose their meaning with their first character.
    """
    return "".join(character if _harmless(character) else f"⟨U+{ord(character):04X}⟩" for character in text)


def shorten(text: str, characters: int) -> str:
    """The beginning of ``text``, at most ``characters`` long, with an ellipsis where something was cut off."""
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"


def _harmless(character: str) -> bool:
    if character in "\n\t":
        return True
    return character not in _BIDI and unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
