"""Formulas, superscripts and subscripts of pages as text can show them: TeX between dollar signs, ``10^6``, ``x_i``.

What is main text is chosen before: here blocks are joined that nothing but a formula parts, and written anew.
"""

import dataclasses
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stages.web.pages import exponents
from stages.web.pages.blocks import Blocks, boxes
from stages.web.pages.flat_tree import FlatTree, seen
from stages.web.pages.segments import Segments
from stages.web.pages.tags import NAMES, TAG

Array = np.ndarray[Any, Any]

LONGEST = 5000
"""Characters of TeX beyond which it is taken for no formula and left out."""

# What is given for TeX by MathML, by LaTeXML, Wikipedia and others in an attribute of it, and beside a picture of it.
_ANNOTATION = re.compile(
    rb'<annotation\s[^>]*\bencoding="(?:application/x-tex|tex|latex)"[^>]*>([^<]*)<', re.IGNORECASE
)
_ALTTEXT, _ALT, _CLASS = (re.compile(rf'\s{name}="([^"]*)"') for name in ("alttext", "alt", "class"))
_DISPLAY = re.compile(r'\sdisplay="block"')
_PICTURE = re.compile(r"\b(?:tex|latex|mwe-math-fallback-image-(?:inline|display))(?!\S)")
# `alttext` may be speech, too ("x squared"), which has words and nothing of TeX.
_SPEECH = re.compile(r"(?!.*[\\^_{])(?=.*[^\W\d_]{2})", re.DOTALL)
_STYLED = re.compile(r"\{\\(?:display|text)style\b(.*)\}", re.DOTALL)
_BRACES = re.compile(r"\\.|[{}]")  # one with a backslash groups nothing
# What holds a formula in several renderings, and how far around MathML it is looked for.
_RENDERINGS = re.compile(r"(?<!\S)(?:katex|katex-display|mwe-math-element)(?!\S)")
_LEVELS = 4

_IS_SCRIPT = np.array([name in ("sup", "sub") for name in NAMES])
# By first byte: whether an exponent or index may begin so, and by the byte before its tag, whether one may stand there.
_MAY_BEGIN = np.array([byte >= 0x80 or chr(byte).isalnum() or chr(byte) in "+-<" for byte in range(256)])
_MAY_PRECEDE = np.array([byte >= 0x80 or chr(byte).isalnum() or chr(byte) in ")>" for byte in range(256)])
_CONTEXT = 20  # characters before a superscript or subscript that are looked at


@dataclass(frozen=True)
class Passages:
    """Blocks as they are written: those of :class:`Blocks`, but that formulas belong to the text around them."""

    tree: FlatTree  # as the formulas leave it: what renders them is skipped and parts no blocks
    pages: Segments  # those of each page with text
    kept: Array  # (passages,) whether each is written
    texts: list[str]  # (passages,) white space collapsed; of those that are not written it need not be whole
    first: Array  # (passages,) first token
    last: Array  # (passages,) token behind the last
    home: Array  # (passages,) innermost element around the first text
    box: Array  # (passages,) innermost block-level element


class _Formula(NamedTuple):
    start: int  # token
    end: int  # token that closes it; ``start`` where it is a picture
    tex: str  # with its dollar signs
    display: bool  # whether it stands on a line of its own


def formula(tex: str, *, display: bool = False) -> str:
    """A formula as text has it, ``$…$``, or ``$$…$$`` on a line of its own; "" where there is none, or a huge one."""
    tex = " ".join(tex.split()).strip("$ ")
    if len(tex) > LONGEST:
        return ""
    if (styled := _STYLED.fullmatch(tex)) and _is_balanced(styled[1]):
        tex = styled[1].strip()
    mark = "$$" if display else "$"
    return f"{mark}{tex}{mark}" if tex else ""


def _is_balanced(tex: str) -> bool:
    """Whether every brace that is closed was opened before."""
    height = 0
    for brace in _BRACES.findall(tex):
        height += (brace == "{") - (brace == "}")
        if height < 0:
            return False
    return True


def passages(blocks: Blocks, kept: Array) -> Passages:
    """The blocks as they are written, given which of them are main text.

    A passage that a formula joins is kept if most of its text is, a formula that has no text beside it if the
    passages before and behind it are.
    """
    found = Passages(blocks.tree, blocks.pages, kept, blocks.texts, blocks.first, blocks.last, blocks.home, blocks.box)
    formulas = _formulas(blocks, kept)
    before = {one.start: one.tex for one in formulas}
    changed = np.zeros(0, np.int64)
    if formulas:
        found, changed = _joined(blocks, kept, formulas)
    scripts = _with_scripts(found)
    if not len(changed) and not len(scripts):
        return found
    texts = list(found.texts)
    for number in np.union1d(changed, scripts).tolist():
        texts[number] = _text(found.tree, int(found.first[number]), int(found.last[number]), before)
    return dataclasses.replace(found, texts=texts)


def _formulas(blocks: Blocks, kept: Array) -> list[_Formula]:
    """Those of which the page tells the TeX, in their order, each once; pictures only beside what is kept."""
    tree = blocks.tree
    elements = np.flatnonzero(tree.tags[tree.start] == TAG["math"])
    pictures = np.flatnonzero(tree.tags == TAG["img"])
    behind = np.searchsorted(blocks.first, pictures)  # the block that begins behind each
    beside = np.append(kept, False)
    pictures = pictures[beside[behind] | beside[behind - 1]]
    told = zip(pictures.tolist(), tree.attributes_of(pictures), strict=True)
    renders = functools.cache(functools.partial(_renders, tree))
    found = [one for element in _outermost(tree, elements) if (one := _of_mathml(tree, element, renders))]
    found += [one for token, attributes in told if (one := _of_picture(token, attributes))]
    if not found:
        return []
    end = -1
    once = []
    for one in sorted(found):
        if one.start > end:
            once.append(one)
            end = one.end
    return once


def _outermost(tree: FlatTree, elements: Array) -> list[int]:
    ends = np.maximum.accumulate(tree.end[elements]) if len(elements) else elements
    inside = np.append(False, tree.start[elements[1:]] < ends[:-1])[: len(elements)]
    outermost: list[int] = elements[~inside].tolist()
    return outermost


def _renders(tree: FlatTree, element: int) -> bool:
    """Whether an element holds a formula in several renderings."""
    named = _CLASS.search(tree.attributes(int(tree.start[element])))
    return named is not None and _RENDERINGS.search(named[1]) is not None


def _of_mathml(tree: FlatTree, element: int, renders: Callable[[int], bool]) -> _Formula | None:
    start, end = int(tree.start[element]), int(tree.end[element])
    attributes = tree.attributes(start)
    if annotation := _ANNOTATION.search(tree.page, tree.begin[start], tree.begin[end]):
        stated = annotation[1].decode()
    else:
        alttext = _ALTTEXT.search(attributes)
        stated = alttext[1] if alttext and not _SPEECH.match(alttext[1]) else ""
    display = _DISPLAY.search(attributes) is not None
    tex = formula(seen(stated), display=display)
    around = element
    for _ in range(_LEVELS if tex else 0):
        around = int(tree.parent[around])
        if renders(around):
            element = around
    return _Formula(int(tree.start[element]), int(tree.end[element]), tex, display) if tex else None


def _of_picture(token: int, attributes: str) -> _Formula | None:
    if 'tex"' not in attributes and "mwe-math" not in attributes:
        return None
    named, stated = _CLASS.search(attributes), _ALT.search(attributes)
    if not (named and stated and (kind := _PICTURE.search(named[1]))):
        return None
    tex = formula(seen(stated[1]), display=kind[0].endswith("display"))
    return _Formula(token, token, tex, False) if tex else None


def _joined(blocks: Blocks, kept: Array, formulas: list[_Formula]) -> tuple[Passages, Array]:
    """Passages of pages some of which have formulas; and of those pages which are kept."""
    tree = blocks.tree
    skipped, breaks, stands = tree.skipped.copy(), tree.breaks.copy(), np.zeros(len(tree.tags), bool)
    for start, end, _, display in formulas:
        stands[start] = True
        if start < end:
            skipped[start:end] = True
            breaks[start : end + 1] = False
            breaks[[start, end]] = display
    changed = dataclasses.replace(tree, skipped=skipped, breaks=breaks)
    (tokens,) = np.nonzero(stands | ((tree.stop > tree.begin) & ~skipped))
    page = np.searchsorted(tree.begins, tokens, "right") - 1
    with_formulas = np.intersect1d(page[stands[tokens]], blocks.told)
    block = np.maximum(np.searchsorted(blocks.first, tokens, "right") - 1, 0)
    says = (tokens >= blocks.first[block]) & (tokens < blocks.last[block]) & ~tree.blank(tokens) & ~skipped[tokens]
    there = (says | stands[tokens]) & np.isin(page, with_formulas)
    tokens, page, block, says = tokens[there], page[there], block[there], says[there]
    size = np.where(says, tree.stop[tokens] - tree.begin[tokens], 0)
    number = np.cumsum(breaks)[tokens]
    firsts = np.flatnonzero(np.append(True, number[1:] != number[:-1]))
    lasts = np.append(firsts[1:], len(tokens)) - 1
    all_of, kept_of = np.add.reduceat(size, firsts), np.add.reduceat(size * kept[block], firsts)
    chosen = _with_neighbours(2 * kept_of > all_of, all_of > 0, page[firsts])
    first, last = tokens[firsts], tokens[lasts] + 1
    home = tree.home[first]
    of_element = np.isin(first, [start for start, end, *_ in formulas if start < end])
    home = np.where(of_element, tree.parent[home], home)
    (others,) = np.nonzero(~np.isin(np.searchsorted(tree.begins, blocks.first, "right") - 1, with_formulas))
    order = np.argsort(np.append(blocks.first[others], first))

    def placed(old: Array, new: Array) -> Array:
        return np.append(old[others], new)[order]

    own = np.append(np.zeros(len(others), bool), chosen)[order]
    texts = [blocks.texts[number] for number in others.tolist()] + [""] * len(first)
    starts = np.searchsorted(placed(blocks.first, first), tree.begins[blocks.told])
    found = Passages(
        tree=changed,
        pages=Segments(starts, len(order)),
        kept=placed(kept, chosen),
        texts=[texts[number] for number in order.tolist()],
        first=placed(blocks.first, first),
        last=placed(blocks.last, last),
        home=placed(blocks.home, home),
        box=placed(blocks.box, boxes(changed)[home]),
    )
    return found, np.flatnonzero(own)


def _with_neighbours(chosen: Array, says: Array, page: Array) -> Array:
    """Of passages, whether they are chosen or say nothing and have chosen ones of their page on both sides."""
    place = np.arange(len(chosen))
    before = np.maximum.accumulate(np.where(says, place, -1))
    behind = np.minimum.accumulate(np.where(says, place, len(chosen))[::-1])[::-1]
    between = (before >= 0) & (behind < len(chosen))
    before, behind = np.maximum(before, 0), np.minimum(behind, len(chosen) - 1)
    between &= chosen[before] & chosen[behind] & (page[before] == page) & (page[behind] == page)
    return np.asarray(np.where(says, chosen, between))


def _with_scripts(found: Passages) -> Array:
    """The passages that are kept and may have an exponent or an index; few footnotes begin as these do."""
    tree = found.tree
    tokens = np.flatnonzero(_IS_SCRIPT[tree.tags] & tree.opens & ~tree.skipped)
    letters = tree.letters
    if not len(tokens):
        return tokens
    tokens = tokens[_MAY_BEGIN[letters[tree.begin[tokens]]] & _MAY_PRECEDE[letters[tree.named[tokens] - 5]]]
    tokens = tokens[tree.tags[tokens + 1] != TAG["a"]]
    number = np.maximum(np.searchsorted(found.first, tokens, "right") - 1, 0)
    number = number[(tokens > found.first[number]) & (tokens < found.last[number])]
    return np.unique(number[found.kept[number]])


def _text(tree: FlatTree, first: int, last: int, before: dict[int, str]) -> str:
    """The text from a token to before another, with superscripts and subscripts told.

    Args:
        tree: The pages.
        first: The first token.
        last: The token behind the last.
        before: What stands before the text behind some tokens.
    """

    def said(token: int) -> str:
        return before.get(token, "") + ("" if tree.skipped[token] else tree.text(token))

    written: list[str] = []
    context = ""
    token = first
    while token < last:
        tag = int(tree.tags[token])
        if token > first and tree.opens[token] and tag in (TAG["sup"], TAG["sub"]):
            end = min(int(tree.end[tree.home[token]]), last)
            inner = "".join([said(at) for at in range(token, end)])
            is_fraction = (
                end + 1 < last and tree.tags[end + 1] == TAG["sub"] and tree.text(end).strip() in ("/", "\u2044")
            )
            if is_fraction and tag == TAG["sup"] and context[-1:].isdecimal():
                piece = " " + inner  # 2<sup>1</sup>/<sub>2</sub> is two and a half
            elif sign := exponents.sign(context, inner, is_index=tag == TAG["sub"]):
                piece = sign + exponents.braced(inner)
                context = " " if inner[-1:].isspace() else "}"
                written.append(piece)
                token = end
                continue
            else:
                piece = inner
            token = end
        else:
            piece = said(token)
            token += 1
        written.append(piece)
        context = (context + piece)[-_CONTEXT:]
    return " ".join("".join(written).split())
