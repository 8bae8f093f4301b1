"""The proof that a tokenizer and its form for ``tokenizers`` agree: the same ids, and the text comes back."""

from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer as Fast

from stages.core.errors import HeadwaterError
from stages.text.tokenizers import CONTROL, Tokenizer

_SHOWN = 80  # characters of a text in an error


def hostile() -> Iterator[tuple[str, str]]:
    """Name and text of what pages hold sooner or later and tokenisers disagree on."""
    yield "nothing", ""
    yield "control tokens as text", "".join(f"{token} {token}" for token in CONTROL) + "<|user|><|end|>\n<s></s>"
    yield "bytes as text", "<0x0A><0x00> <0xFF>"
    yield "NUL and control characters", "".join(map(chr, range(32))) + "a\0b\0\0c\x7f\x80\x9f"
    yield "marks of sentencepiece", "▁▁a ▁b▁ ▅ \u2585\u2047 "
    yield "line ends", "a\r\nb\rc\n\n\n\nd\v\f\u2028\u2029\x85\n"
    yield "blanks", "".join(" " * width + "x" + "\t" * width for width in range(1, 40)) + "\xa0\u2003\u200b\ufeff  "
    yield "runs", "".join(mark * width + " " for mark in "-=*#.0_aé" for width in range(1, 70))
    yield "lone combining marks", "\u0301\u0301 e\u0301 \u20dd\u0488a\u0300\u0316\u0334"
    yield "joined emoji", "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇩 \U000e0067 ☃\ufe0f"
    yield "right to left", "שלום \u202eabc\u202c مرحبا ١٢٣ \u200f\u200e"
    yield "private use and unassigned", "\ue000\uf8ff\U000f0000\U0010ffff\ufffe\uffff\u0378"
    for plane in range(0, 0x110000, 0x4000):
        points = [point for point in range(plane, plane + 0x4000, 61) if not 0xD800 <= point < 0xE000]
        yield f"characters from U+{plane:04X}", "".join(map(chr, points))
    yield "every character of one or two bytes", "".join(map(chr, range(0x800)))


def prove(tokenizer: Tokenizer, fast: Fast, texts: Iterable[tuple[str, str]]) -> None:
    """Encode and decode every (name, text) with both.

    Raises:
        HeadwaterError: the ids differ, or the text does not come back; names the first such text.
    """
    fast.encode_special_tokens = True  # a literal "<s>" is text
    try:
        for name, text in texts:
            _prove(tokenizer, fast, name, text)
    finally:
        fast.encode_special_tokens = False


def _prove(tokenizer: Tokenizer, fast: Fast, name: str, text: str) -> None:
    ids = tokenizer.encode(text)
    other = fast.encode(text, add_special_tokens=False).ids
    if ids != other:
        place = next(
            (at for at, (a, b) in enumerate(zip(ids, other, strict=False)) if a != b), min(len(ids), len(other))
        )
        near = tokenizer.decode(ids[max(place - 5, 0) : place + 15])[:_SHOWN]
        raise HeadwaterError(
            f"{name}: the tokenizer gives {ids[place : place + 3]} and the fast tokenizer {other[place : place + 3]} "
            f"at token {place}, near {near!a}: another tokenizer.seed or vocab_size may avoid it; please report it"
        )
    expected = tokenizer.survives(text)
    for kind, decoded in (("the tokenizer", tokenizer.decode(ids)), ("the fast tokenizer", fast.decode(ids))):
        if decoded != expected:
            place = next((at for at, (a, b) in enumerate(zip(decoded, expected, strict=False)) if a != b), 0)
            raise HeadwaterError(
                f"{name}: {kind} does not give the text back: {expected[place : place + _SHOWN]!a} "
                f"became {decoded[place : place + _SHOWN]!a}"
            )
