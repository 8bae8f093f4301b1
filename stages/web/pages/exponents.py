"""Which superscripts are exponents and which subscripts are indices, told from what they stand at.

Without a sign ``10<sup>6</sup>`` is 106 and ``x<sub>i</sub>`` a word. Ordinals, footnotes and substances (``1st``,
``Doe1``, ``H2O``) are read as they are.
"""

import re

_LONGEST = 30  # characters
_SIGN = r"[+\-\u2212\u2013]"
_TERM = r"(?:\d+|\d*[^\W\d_])"
_NUMBER = re.compile(r"\d+")
_SIGNED = re.compile(rf"{_SIGN}\d+")
# Terms with a letter and a sign; of single letters only those that end no ordinal and no title of any language.
_EXPRESSION = re.compile(
    rf"\d*[nkijxT]|(?=.*[^\W\d_]){_SIGN}?{_TERM}(?:\s?[+\-\u2212\u2013*\u00b7/]\s?{_TERM})*(?<=..)"
)
_WORD = re.compile(r"[^\W\d_]{1,8}")
_SINGLE = re.compile(r"\d+|[^\W\d_]")  # needs no braces

# What they stand at.
_AT_DIGIT = re.compile(r"\d\Z")
_AT_LETTER = re.compile(r"[^\W\d_]\Z")
_AT_VARIABLE = re.compile(r"(?<![^\W\d_])[^\W\d_]\Z")
_AT_CLOSING = re.compile(r"[)}]\Z")
_AT_LENGTH = re.compile(r"(?<![^\W\d_])[cdkmn\u00b5\u03bc]m\Z")
_AT_LOGARITHM = re.compile(r"(?<![^\W\d_])log\Z")
_AT_PRICE = re.compile(r"[$\u00a3]\d[\d,]*\Z")
_CENTS = re.compile(r"\d\d")


def sign(context: str, inner: str, *, is_index: bool) -> str:
    """``^`` or ``_`` where a superscript or subscript certainly is an exponent or index, ``.`` before cents, or "".

    Args:
        context: What stands before it; "}" at the end stands for an exponent or index.
        inner: Its text.
        is_index: Whether it is a subscript.
    """
    script = inner.strip()
    if not script or len(script) > _LONGEST or inner[0].isspace():
        return ""
    if is_index:
        return "_" if _is_index(context, script) else ""
    if _CENTS.fullmatch(script) and _AT_PRICE.search(context):
        return "."
    return "^" if _is_exponent(context, script) else ""


def braced(inner: str) -> str:
    """A superscript or subscript as it stands behind its sign, in braces if it is more than a number or a letter."""
    script = inner.strip()
    return (script if _SINGLE.fullmatch(script) else f"{{{script}}}") + inner[len(inner.rstrip()) :]


def _is_exponent(context: str, script: str) -> bool:
    signed = _SIGNED.fullmatch(script)
    if any(at.search(context) for at in (_AT_DIGIT, _AT_VARIABLE, _AT_CLOSING)):
        return bool(signed or _NUMBER.fullmatch(script) or _EXPRESSION.fullmatch(script))
    if signed:  # no footnote has a sign
        return _AT_LETTER.search(context) is not None
    return script in ("2", "3") and _AT_LENGTH.search(context) is not None


def _is_index(context: str, script: str) -> bool:
    if variable := _AT_VARIABLE.search(context):
        is_word = _WORD.fullmatch(script) or _EXPRESSION.fullmatch(script)
        return bool(is_word or (_NUMBER.fullmatch(script) and variable[0].islower()))
    if _AT_DIGIT.search(context):
        return _NUMBER.fullmatch(script) is not None
    return bool(_AT_LOGARITHM.search(context) and (_NUMBER.fullmatch(script) or _EXPRESSION.fullmatch(script)))
