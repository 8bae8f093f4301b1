"""Replaces personal data and secrets by placeholders: addresses, numbers that identify a person or an account, keys.

E-mail and IP addresses after datatrove's PIIFormatter, with IPv6 besides. Numbers are replaced only where a checksum
or a numbering plan says what they are: technical pages are full of versions, dates, hashes and identifiers that have as
many digits. Every pattern is bounded, so that no text makes it slow.
"""

import ipaddress
import re
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from stages.core import arrow
from stages.core.params import params
from stages.web.rules import check_digits, credentials


@params
class PersonalData:
    """What is replaced."""

    emails: bool
    """E-mail addresses become [email], but for git@, by which code is fetched."""
    ips: bool
    """Public IP addresses become [ip]; private and documentation ranges stay."""
    phones: bool
    """Phone numbers become [phone]: those with a country code, and after a word such as "tel" also national ones."""
    phone_regions: list[str]
    """Regions, ISO 3166, whose national numbers are known."""
    cards: bool
    """Numbers of payment cards become [card]."""
    ibans: bool
    """International bank account numbers become [iban]."""
    secrets: bool
    """API keys become [api_key], private keys [private_key]."""


KINDS = ("email", "ip", "phone", "card", "iban", "api_key", "private_key")

# Latin with all its marks, and Cyrillic, in which addresses are written too.
_LETTER = "A-Za-z\u00c0-\u024f\u0400-\u04ff"
# A letter or digit of a script with spaces: in Chinese and Japanese what is meant stands between other characters.
_WORD = r"[^\W\u3040-\u30ff\u3400-\u9fff]"
# What people have in addresses; `=` and quotes before them are code, as in email='jane@example.org'.
_ATOM = rf"[{_LETTER}0-9'_+%~-]"
# Units of systemd and pictures, getty@tty1.service and icon@2x.png, are written like addresses.
_FILE = "automount|mount|path|scope|service|slice|socket|swap|target|timer|gif|jpe?g|png|svg|webp|tgz"
_DIGIT = "0-9\u0660-\u0669\u06f0-\u06f9"  # Arabic ones too
_GAP = " ()./\u00a0\u2011\u2013-"
_NUMBER = rf"\(?[{_DIGIT}][{_DIGIT}{_GAP}]{{6,20}}[{_DIGIT}]"  # as people write them
_PHONE_WORD = (
    "tel|phone|telephone|fax|mobile|cell|call|whatsapp|hotline|telefon|telefonnummer|telefonnr|rufnummer|telefax|handy|"
    "mobil|mobiltelefon|festnetz|tél|téléphone|portable|teléfono|teléfonos|móvil|celular|"
    "тел|телефон|телефоны|факс|моб|мобильный|هاتف|الهاتف|جوال|الجوال|فاكس|تليفون|موبايل"
)
_PHONE_SIGN = "电话|電話|手机|手機|传真|傳真|热线|熱線|座机"
# Visa, Mastercard, American Express, Diners Club, Discover, JCB, Mir, UnionPay: ranges of ISO/IEC 7812.
_NETWORK = re.compile(
    r"4\d{15}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|"
    r"6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|220[0-4]\d{12}|62\d{14}"
)


@dataclass(frozen=True)
class _Finder:
    """One way in which a kind of data is written."""

    kind: str
    hint: str
    """What every text that has some matches, for RE2: ten times as fast as ``pattern``, and most texts have none."""
    sign: str
    """What every line that has some has, or an empty string."""
    pattern: re.Pattern[str]
    """No match goes beyond a line. One that begins with a character, what stands before it after that, is searched for
    in a third of the time."""
    check: Callable[[re.Match[str], PersonalData], str | None]
    """The part of a match that is what it looks like."""


def _finder(
    kind: str, hint: str, sign: str, pattern: str, check: Callable[[re.Match[str], PersonalData], str | None]
) -> _Finder:
    return _Finder(kind, hint, sign, re.compile(pattern), check)


def replace(texts: Sequence[str], rules: PersonalData) -> list[tuple[str, Counter[str]]]:
    """Each text with placeholders, and how many of each of ``KINDS`` were put in."""
    column = arrow.column(texts, pa.large_string())
    replaced = list(texts)
    found: list[Counter[str]] = [Counter() for _ in texts]
    if rules.secrets:
        for number in _matching(column, credentials.HINT):
            replaced[number], counts = credentials.replace(replaced[number])
            found[number].update(counts)
    for finder in _FINDERS:
        if getattr(rules, f"{finder.kind}s"):
            for number in _matching(column, finder.hint):
                replaced[number], count = _replace(replaced[number], finder, rules)
                found[number][finder.kind] += count
    return list(zip(replaced, found, strict=True))


def _matching(column: pa.Array, hint: str) -> list[int]:
    matching: list[int] = pc.indices_nonzero(pc.match_substring_regex(column, hint)).to_pylist()
    return matching


def _replace(text: str, finder: _Finder, rules: PersonalData) -> tuple[str, int]:
    count = 0

    def placeholder(match: re.Match[str]) -> str:
        nonlocal count
        value = finder.check(match, rules)
        if value is None:
            return match[0]
        count += 1
        return match[0].replace(value, f"[{finder.kind}]")

    lines = [finder.pattern.sub(placeholder, line) if finder.sign in line else line for line in text.split("\n")]
    return "\n".join(lines), count


def _whole(match: re.Match[str], _: PersonalData) -> str:
    return match[0]


def _public(match: re.Match[str], _: PersonalData) -> str | None:
    address = match[0]
    # Where the last three are so small nearly all are sections and versions: one address in 1,300 is of that kind.
    first, *others = address.split(".")
    if others and int(first) < 100 and all(int(number) < 32 for number in others):
        return None
    if address.endswith(("::", ".0")):  # a network
        return None
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    return address if found.is_global and not found.is_multicast else None


def _international(match: re.Match[str], _: PersonalData) -> str | None:
    return _phone(match[0], [None])


def _national(match: re.Match[str], rules: PersonalData) -> str | None:
    return _phone(match[1], rules.phone_regions)


def _phone(number: str, regions: Iterable[str | None]) -> str | None:
    """``number`` where a numbering plan has it; without a region it begins with the country's code."""
    import phonenumbers  # the plans take 40 ms to load

    for region in regions:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(number, region)):
                return number
        except phonenumbers.NumberParseException as error:
            # The library leaves the exception in a variable of the frame that it comes from: a circle that would keep
            # the pages of a batch, and all else that is in work, until Python looks for circles.
            traceback.clear_frames(error.__traceback__)
    return None


def _card(match: re.Match[str], _: PersonalData) -> str | None:
    digits = re.sub(r"[ -]", "", match[0])
    return match[0] if _NETWORK.fullmatch(digits) and check_digits.is_luhn(digits) else None


def _iban(match: re.Match[str], _: PersonalData) -> str | None:
    groups = match[0].split(" ")
    for end in range(len(groups), 0, -1):  # words in capitals may follow
        number = " ".join(groups[:end])
        if check_digits.is_iban(number.replace(" ", "")):
            return number
    return None


_FINDERS = (
    _finder(
        "email",
        rf"@[{_LETTER}0-9][{_LETTER}0-9.-]*\.[{_LETTER}]{{2}}",
        "@",
        rf"(?<![{_LETTER}0-9_$])(?!git@)[{_LETTER}0-9_]{_ATOM}{{0,63}}(?:\.{_ATOM}{{1,64}}){{0,8}}@"
        rf"(?:[{_LETTER}0-9](?:[{_LETTER}0-9-]{{0,61}}[{_LETTER}0-9])?\.){{1,8}}"
        rf"(?!(?:{_FILE})(?!{_WORD}))[{_LETTER}]{{2,63}}(?!{_WORD})",
        _whole,
    ),
    _finder(
        "iban",
        r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}",
        "",
        r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])",
        _iban,
    ),
    _finder(
        "card",
        r"[0-9]{4}[ -]?[0-9]{4,6}[ -]?[0-9]{4}",
        "",
        rf"(?<!{_WORD})(?<![.,:/=#+-])"
        r"(?:[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}|3[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5}|[0-9]{14,16})"
        rf"(?!{_WORD}|-|[.,:]\d)",
        _card,
    ),
    _finder("phone", rf"\+{_NUMBER}", "+", rf"(?<!{_WORD})(?<!\+)\+{_NUMBER}(?!{_WORD})", _international),
    _finder(
        "phone",
        rf"(?i)(?:{_PHONE_WORD}|{_PHONE_SIGN})[^0-9+\n]{{0,12}}{_NUMBER}",
        "",
        rf"(?i)(?:(?<!\w)(?:{_PHONE_WORD})\b|{_PHONE_SIGN})[^\d+\n]{{0,12}}?({_NUMBER})(?!{_WORD})",
        _national,
    ),
    _finder(
        "ip",
        r"(?:^|[^\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:[^\w.]|\.[^0-9]|\.?$)",
        ".",
        rf"[0-9](?<!{_WORD}.)(?<!\..)[0-9]{{0,2}}(?:\.[0-9]{{1,3}}){{3}}(?!{_WORD}|\.\d)",
        _public,
    ),
    _finder(
        "ip",
        r"[23][0-9A-Fa-f]{3}:[0-9A-Fa-f]{0,4}:",
        ":",
        rf"[23](?<!{_WORD}.)(?<![:.].)[0-9A-Fa-f]{{3}}:(?:[0-9A-Fa-f]{{0,4}}:){{1,6}}[0-9A-Fa-f]{{0,4}}(?!{_WORD}|:|\.\d)",
        _public,
    ),
)
