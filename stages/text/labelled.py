"""Texts with a class or a number, and words with a tag each: what is read of them, and their tokens."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stages.core.errors import HeadwaterError
from stages.core.examples import IGNORED, Example, Material
from stages.core.params import nearest
from stages.core.shards import Metrics
from stages.text import tables
from stages.text.augmentation import Augmentation, Augmented, Labelled
from stages.text.sampling import Given
from stages.text.tables import Columns, Row
from stages.text.tokenizers import BEGIN, Tokenizer


def classes(row: Row, columns: Columns) -> Labelled:
    """A text and its class."""
    label = _name(tables.get(row, columns.label), row.where, columns.label)
    return Labelled(row.source, row.where, (tables.text(row, columns.text),), (label,))


def scores(row: Row, columns: Columns) -> Labelled:
    """A text and its number."""
    given = tables.get(row, columns.label)
    try:
        value = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise HeadwaterError(f"{row.where}: column {columns.label!r} is no number: {str(given)[:40]!a}")
    return Labelled(row.source, row.where, (tables.text(row, columns.text),), value=value)


def tags(row: Row, columns: Columns) -> Labelled:
    """Words and the tag of each."""
    words, given = tables.get(row, columns.tokens), tables.get(row, columns.tags)
    for column, value in ((columns.tokens, words), (columns.tags, given)):
        if not isinstance(value, list) or not value:
            raise HeadwaterError(f"{row.where}: column {column!r} is no list, or an empty one")
    if len(words) != len(given):
        raise HeadwaterError(f"{row.where}: {len(words)} words in {columns.tokens!r}, {len(given)} tags")
    for word in words:
        if not isinstance(word, str) or not word.strip():
            raise HeadwaterError(f"{row.where}: column {columns.tokens!r} holds an empty word, or one that is no text")
        tables.whole(word, row.where)
    return Labelled(row.source, row.where, tuple(words), tuple(_name(tag, row.where, columns.tags) for tag in given))


def _name(label: Any, where: str, column: str) -> str:
    """A label as text: whole numbers are names too."""
    if isinstance(label, bool) or not isinstance(label, (str, int)):
        raise HeadwaterError(f"{where}: column {column!r} holds {str(label)[:40]!a}, no name and no whole number")
    if not str(label).strip():
        raise HeadwaterError(f"{where}: column {column!r} is empty")
    return tables.whole(str(label).strip(), where)


def names(rows: Sequence[Labelled], given: Sequence[str]) -> tuple[str, ...]:
    """The labels that are learned: those given, else all that the rows have, numbers by size.

    Raises:
        HeadwaterError: a row has a label that is not given, by file, row and the nearest; or one is given twice.
    """
    if given:
        if twice := sorted(name for name in set(given) if given.count(name) > 1):
            raise HeadwaterError(f"params.yaml: finetune.rows.labels names {twice[0][:40]!a} twice")
        check(rows, given)
        return tuple(given)
    return tuple(sorted({label for row in rows for label in row.labels}, key=_rank))


def _rank(name: str) -> tuple[bool, int, str]:
    number = name.isdecimal() and name.isascii()
    return not number, len(name) if number else 0, name


def check(rows: Sequence[Labelled], known: Sequence[str], more: str = "") -> None:
    """Raises:
    HeadwaterError: a row has a label that is not ``known``; names file, row and the nearest, and says ``more``.
    """
    everything = frozenset(known)
    for row in rows:
        for label in row.labels:
            if label not in everything:
                raise HeadwaterError(f"{row.where}: unknown label {label[:40]!a}{nearest(label, known)}{more}")


def encode(tokenizer: Tokenizer, row: Labelled, numbers: Mapping[str, int], limit: int) -> Example:
    """``<s> text``, which is what transformers' own tokenizer makes of it; what is beyond ``limit`` tokens is cut off.

    Args:
        tokenizer: The model's.
        row: A text with its class or its number.
        numbers: Of the classes, by name.
        limit: Most tokens, ``<s>`` among them.
    """
    ids = [BEGIN, *tokenizer.encode(" ".join(row.words))]
    value = float(numbers[row.labels[0]]) if row.labels else row.value
    return Example(row.source, ids[:limit], value=value, cut=len(ids) > limit)


def encode_words(tokenizer: Tokenizer, row: Labelled, numbers: Mapping[str, int], limit: int) -> Example:
    """``<s> words``, with spaces between; words that do not fit whole into ``limit`` tokens are cut off.

    The last token of a word has its tag, for that is the first at which a model that reads onwards has seen all of it.

    Args:
        tokenizer: The model's.
        row: Words with their tags.
        numbers: Of the tags, by name.
        limit: Most tokens, ``<s>`` among them.
    """
    ids, labels = [BEGIN], [IGNORED]
    for place, (word, tag) in enumerate(zip(row.words, row.labels, strict=True)):
        piece = tokenizer.encode(f" {word}" if place else word)
        if len(ids) + len(piece) > limit:
            return Example(row.source, ids, labels, cut=True)
        ids += piece
        labels += [IGNORED] * (len(piece) - 1) + [numbers[tag]]
    return Example(row.source, ids, labels)


Encode = Callable[[Labelled, Mapping[str, int]], Example]
"""Gives the ids of a row, with the numbers of its labels by name."""


def encoded(
    given: Given[Labelled],
    augmentation: Augmentation,
    labels: Sequence[str],
    seed: int,
    encode: Encode,
    *,
    tagged: bool,
) -> Material:
    """All rows in token ids.

    Args:
        given: The rows.
        augmentation: How they change.
        labels: The names of all, or none for those that there are.
        seed: Of the changes.
        encode: Gives the ids of one.
        tagged: Whether each word has a label, and not the text.

    Raises:
        HeadwaterError: a label is not known, or there is only one.
    """
    known = names(given.learned, labels)
    check(given.tested, known, "" if labels else "; no row to learn from has it: name all in finetune.rows.labels")
    if len(known) == 1:
        raise HeadwaterError(
            f"all {len(given.learned)} rows have the label {known[0][:40]!a}: there is nothing to tell apart"
        )
    numbers = {name: number for number, name in enumerate(known)}

    learned, tested = ([encode(row, numbers) for row in rows] for rows in (given.learned, given.tested))
    changed = Augmented(given.learned, augmentation, seed, tagged=tagged)
    counts: Metrics = {"in": given.seen, "out": len(learned), "dropped": given.dropped}
    counts["cut"] = sum(row.cut for row in learned)
    if known:
        there = Counter(label for row in given.learned for label in row.labels)
        counts["labels"] = {name: there[name] for name in known}
    redraw = (lambda index, position: encode(changed(index, position), numbers)) if augmentation.rows else None
    return Material(learned, tested, counts, given.paths, known, redraw)
