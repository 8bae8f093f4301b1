"""Text into words as the rules count them: spaCy's tokenisation, without spaCy.

Gopher's, C4's and FineWeb's thresholds were set on the tokens of a linguistic tokeniser, in which a comma is a word of
its own. datatrove takes spaCy's for that; this follows its algorithm (affixes off, then URLs, then infixes) with the
rules of spacy/lang/punctuation.py reduced to those that occur. A line is cut into pieces, at white space where a
language has it, and a piece into words: what comes of a piece depends on nothing else, so it can be remembered.

Languages written without spaces are cut into words where there is a segmenter (Chinese: jieba's dictionary and model,
which spaCy takes too) and into characters where there is none.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import regex

from stages.web.duplicates import shingles

_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
_PUNCT = r"…,:;!?¿؟¡()\[\]{}<>_#*&。？！，、；：～·।،۔؛٪"
_CURRENCY = r"\p{Sc}"
_UNITS = (
    "km²|km³|km|m/s|m²|m³|mm²|mm³|mm|mb|mbar|mph|mg|m|dm²|dm³|dm|cm²|cm³|cm|ha|µm|µg|nm|yd|in|ft|kg|km/h|kmh|kb|g|t|lb|oz|"
    "hPa|Pa|MB|KB|gb|GB|tb|TB|T|G|M|K|%"
)

_PREFIX = rf"\.\.+|US\$|[CA]\$|\+(?![0-9])|[§%=—–{_PUNCT}{_QUOTES}{_CURRENCY}\p{{So}}]"
_AFTER = rf"\p{{Ll}}\p{{Lo}}%²\-+{_PUNCT}{_QUOTES}"  # what a full stop ends a sentence after
_SUFFIX = (
    rf"(?:\.\.+|['’][sS]|(?<=[0-9])\+|(?<=[0-9])(?:{_UNITS}|{_CURRENCY})|"
    rf"(?<=[0-9{_AFTER}]|[\p{{Lu}}\p{{Lo}}]{{2}}|°[FfCcKk])\.|[—–{_PUNCT}{_QUOTES}\p{{So}}])$"
)
_ROMANCE_SUFFIX = _SUFFIX.replace("['’][sS]|", "")
# A number with a full stop is an ordinal in German.
_GERMAN_SUFFIX = (
    rf"(?:\.\.+|''|(?<=[0-9])\+|(?<=[0-9])(?:{_UNITS}|{_CURRENCY})|"
    rf"(?<=[{_AFTER}]|\p{{Lu}}{{2}}|°[FfCcKk])\.|[/—–{_PUNCT}{_QUOTES}\p{{So}}])$"
)
_INFIX = (
    rf"\.\.+|…|\p{{So}}|(?<=[0-9])[+\-*^](?=[0-9-])|(?<=[\p{{Ll}}\p{{Lo}}{_QUOTES}])\.(?=[\p{{Lu}}\p{{Lo}}{_QUOTES}])|"
    r"(?<=\p{L}),(?=\p{L})|(?<=\p{L})(?:---?|——|[-–—~])(?=\p{L})|(?<=[\p{L}0-9])[:<>=/](?=\p{L})"
)
_ENGLISH_INFIX = _INFIX.replace(r"(?<=\p{L})(?:-", r"(?<=[\p{L}0-9])(?:-")
# Words with hyphens stay whole.
_WHOLE_INFIX = (
    rf"\.\.+|…|\p{{So}}|(?<=\p{{Ll}})\.(?=\p{{Lu}})|(?<=\p{{L}})[,!?:<>=()\[\]{_QUOTES[1:]}](?=\p{{L}})|"
    r"(?<=[\p{L}0-9])/(?=[\p{L}0-9])|(?<=\p{L})--(?=\p{L})|(?<=[0-9])-(?=[0-9])"
)
_ENGLISH_ENDING = r"(\p{L}+?)(n['’]t|['’](?:re|ve|ll|d|m))"
_ELISION = r"(\p{L}{1,6}['’])(\p{L}.*)"
# Host names end in two or more lower-case letters; the bounds keep the match linear.
_URL = regex.compile(
    r"(?:[\w+.\-]{2,40}://)?(?:[^\s@]{1,200}@)?(?:(?:[a-z0-9\u00a1-\uffff][a-z0-9\u00a1-\uffff_-]{0,62})\.)+"
    r"(?-i:[\p{Ll}\p{Lo}]{2,63})(?::\d{2,5})?(?:[/?#]\S*)?",
    regex.IGNORECASE,
)
# Kept whole although a rule would split them: those that documents have, of spaCy's exceptions for every language …
_WHOLE = frozenset(
    """
    C++ ' '' ’ ’’ a. b. c. d. e. f. g. h. i. j. k. l. m. n. o. p. q. r. s. t. u. v. w. x. y. z. ä. ö. ü.
    :) :( ;) ): :D :P :/ :-) :-( ;-) :-/ \\n \\t
    """.split()  # noqa: SIM905
)
# … and for one.
_ENGLISH_WHOLE = frozenset(
    """
    and/or w/o i.e. e.g. I.e. E.g. I.E. E.G. a.m. p.m. v.s. vs. co. Co. Corp. Inc. Ltd. Bros. Dr. Mr.
    Mrs. Ms. Prof. Gen. Gov. Rep. Rev. Sen. St. Jr. Mt. Messrs. Ph.D. D.C. N.C. N.D. N.H. N.J. N.M. N.Y. S.C. Adm. Jan.
    Feb. Mar. Apr. Jun. Jul. Aug. Sep. Sept. Oct. Nov. Dec. Ala. Ariz. Ark. Calif. Colo. Conn. Del. Fla. Ga. Ia. Id.
    Ill. Ind. Kan. Ky. La. Mass. Md. Mich. Minn. Miss. Mo. Mont. Neb. Nev. Okla. Ore. Pa. Tenn. Va. Wash. Wis.
    """.split()  # noqa: SIM905
)
_GERMAN_WHOLE = frozenset(
    """
    Abb. Abs. Abt. Allg. allg. Art. Aufl. B.A. B.Sc. Bd. bspw. bzgl. bzw. ca. Chr. d.h. Dipl. Dr. e.V. ebd. ehem. engl.
    etc. evtl. f. ff. Fr. ggf. Hr. Hrsg. i.d.R. i.V. Ing. Inkl. inkl. insb. Jh. Jhd. Kap. M.A. max. min. Mio. Mrd.
    n.Chr. Nr. o.ä. o.Ä. Prof. S. s.a. s.o. s.u. sog. St. std. Std. Str. Tel. u.a. U.S. usf. usw. v.a. v.Chr. vgl. Vgl.
    z.B. z.T. z.Z. z.Zt. zzgl.
    """.split()  # noqa: SIM905
)
_SPANISH_WHOLE = frozenset(
    """
    a.C. aprox. Av. Avda. d.C. Dr. Dra. EE.UU. ej. etc. fig. Gral. Ing. km/h Lic. núm. p.ej. pág. Prof. Profa. S.A. S.L.
    Sr. Sra. Srta. Ud. Uds. Vd. Vds. vol.
    """.split()  # noqa: SIM905
)
_FRENCH_WHOLE = frozenset(
    """
    après-midi apr. au-delà av. avr. cf. déc. Dr. etc. févr. janv. juill. M. Mlle. MM. Mme. Mr. No. nov. oct. pp. sept.
    St. Ste. Vol.
    """.split()  # noqa: SIM905
)
_RUSSIAN_WHOLE = frozenset(
    """
    акад. г-н г-жа г. гг. д. долл. и.о. им. к. кв. обл. п. пл. пос. прим. проф. р-н руб. с. см. ср. ст. стр. т.д. т.е.
    т.к. т.н. т.п. тыс. ул. х. чел. янв. февр. апр. авг. сент. окт. нояб. дек.
    """.split()  # noqa: SIM905
)

_LONGEST = 10_000  # longer pieces are tokenised in blocks
_LONGEST_WHOLE = 8
_LONGEST_SUFFIX = 32  # of dots; looking no further back keeps the time linear


@dataclass(frozen=True)
class _Rules:
    """What differs from language to language."""

    whole: frozenset[str]
    prefix: regex.Pattern[str]
    suffix: regex.Pattern[str]
    infix: regex.Pattern[str]
    halves: regex.Pattern[str] | None
    """A word of two halves that are words of their own."""


def _rules(
    *,
    prefix: str = _PREFIX,
    suffix: str = _SUFFIX,
    infix: str = _INFIX,
    halves: str = "",
    whole: frozenset[str] = frozenset(),
) -> _Rules:
    return _Rules(
        _WHOLE | whole,
        regex.compile(prefix),
        regex.compile(suffix),
        regex.compile(infix),
        regex.compile(halves, regex.IGNORECASE) if halves else None,
    )


_ROMANCE = _rules(suffix=_ROMANCE_SUFFIX, halves=_ELISION)
_OTHER = _rules()
_BY_LANGUAGE = {
    "en": _rules(infix=_ENGLISH_INFIX, halves=_ENGLISH_ENDING, whole=_ENGLISH_WHOLE),
    "de": _rules(prefix=rf"``|{_PREFIX}", suffix=_GERMAN_SUFFIX, infix=_WHOLE_INFIX, whole=_GERMAN_WHOLE),
    "es": _rules(suffix=_ROMANCE_SUFFIX, infix=_WHOLE_INFIX, whole=_SPANISH_WHOLE),
    "fr": _rules(suffix=_ROMANCE_SUFFIX, halves=_ELISION, whole=_FRENCH_WHOLE),
    "ru": _rules(whole=_RUSSIAN_WHOLE),
    "it": _ROMANCE,
    "ca": _ROMANCE,
}

UNSPACED = frozenset({"zh", "ja", "th", "lo", "km", "my"})
"""Languages written without spaces between words."""

_CHARACTERS = regex.compile(rf"[{shingles.UNSPACED}]|[^{shingles.UNSPACED}\s]+")


def pieces(lines: Sequence[str], language: str) -> list[Sequence[str]]:
    """What of each line is made into words on its own; no piece has white space in it."""
    if language not in UNSPACED:
        return [line.split() for line in lines]
    cut = _chinese() if language == "zh" else _CHARACTERS.findall
    return [[piece for piece in cut(line) if not piece.isspace()] for line in lines]


# What jieba takes apart, with the only words of its dictionary that it then does not; rjieba leaves it whole.
_CHINESE_SPLIT = regex.compile(r"[a-zA-Z0-9]+(?:\.[0-9]+)?%?|\p{Han}+|[^a-zA-Z0-9\p{Han}]+")
_CHINESE_WHOLE = frozenset({"AT&T", "C#", "c#", "C++", "c++"})


@functools.cache
def _chinese() -> Callable[[str], list[str]]:
    import rjieba  # 0.2 s for its dictionary, which few runs need

    return rjieba.cut


def split(piece: str, language: str = "en") -> list[str]:
    """The words of a piece of text that has no white space in it."""
    if language == "zh":
        return [piece] if piece.isalpha() or piece in _CHINESE_WHOLE else _CHINESE_SPLIT.findall(piece)
    if len(piece) > _LONGEST:
        return [
            word
            for start in range(0, len(piece), _LONGEST)
            for word in split(piece[start : start + _LONGEST], language)
        ]
    if piece.isalpha():
        return [piece]
    rules = _BY_LANGUAGE.get(language, _OTHER)
    ended = piece[-1] in ",:;!?)" or (piece[-1] == "." and "a" <= piece[-2:-1] <= "z")
    if ended and piece[:-1].isalpha() and piece not in rules.whole:  # most of what is left
        return [piece[:-1], piece[-1]]
    words: list[str] = []
    suffixes: list[str] = []
    start, end = 0, len(piece)
    while start < end:
        if end - start <= _LONGEST_WHOLE and piece[start:end] in rules.whole:
            break
        prefix = rules.prefix.match(piece, start, end)
        if prefix:
            words.append(prefix[0])
            start = prefix.end()
            if end - start <= _LONGEST_WHOLE and piece[start:end] in rules.whole:
                break
        suffix = rules.suffix.search(piece[max(start, end - _LONGEST_SUFFIX) : end])
        if suffix:
            suffixes.append(suffix[0])
            end -= len(suffix[0])
        if not prefix and not suffix:
            break
    if start < end:
        words += _inner(piece[start:end], rules)
    return words + suffixes[::-1]


def _inner(piece: str, rules: _Rules) -> Iterator[str]:
    if piece in rules.whole or piece.isalnum():
        yield piece
        return
    halves = rules.halves.fullmatch(piece) if rules.halves else None
    if halves:
        yield halves[1]
        yield from _infixed(halves[2], rules.infix)
    elif _URL.fullmatch(piece):
        yield piece
    else:
        yield from _infixed(piece, rules.infix)


def _infixed(piece: str, infixes: regex.Pattern[str]) -> Iterator[str]:
    offset = 0
    for infix in infixes.finditer(piece):
        if infix.start() > offset:
            yield piece[offset : infix.start()]
        yield infix[0]
        offset = infix.end()
    if offset < len(piece):
        yield piece[offset:]
