import random
import unicodedata

import pytest

from stages.web.pages import blocks, flat_tree, html
from stages.web.pages.tags import NAMES

PIECES = [
    "one", "TWO 2", "три.", "四五", "\n  ", "\t", " ", "\u3000", "\u200b", "&nbsp;", "&lt;b&gt;", "&amp;amp;", "\x01",
    "<b>", "</b>", "<i>", "</i>", "<a href=x>", "</a>", "<br>", "<p>", "</p>", "<div>", "</div>", "<select>",
    "</select>",
]  # fmt: skip


def read(page: str) -> blocks.Blocks | None:
    normalised, reason = html.normalised(page, 100_000)
    assert reason == ""
    return blocks.read(normalised)


@pytest.mark.parametrize("seed", range(20))
def test_blocks_are_what_lies_between_breaks(seed: int) -> None:
    rng = random.Random(seed)
    page = "".join(rng.choices(PIECES, k=rng.randrange(5, 120)))
    normalised, _ = html.normalised(page, 100_000)
    tree = flat_tree.read([normalised])
    assert tree is not None
    runs: list[list[str]] = [[]]
    for token in range(len(tree.tags)):
        if tree.breaks[token]:
            runs.append([])
        if not tree.skipped[token]:
            runs[-1].append(tree.text(token))
    said = [run for run in runs if any(map(says, run))]
    found = blocks.split(tree)
    assert (found is None) == (not said)
    if found is not None:
        assert found.texts == [" ".join("".join(run).split()) for run in said]
        assert found.size.tolist() == [sum(map(length, filter(says, run))) for run in said]
        assert found.before[found.first].tolist() == list(range(len(said)))
        assert found.before[-1] == len(said)


def says(text: str) -> bool:
    """Whether a reader sees anything of it."""
    return any(unicodedata.category(character)[0] in "LMNPS" for character in text)


def length(text: str) -> int:
    """In characters, an ideograph counting as three."""
    return sum(3 if "\u4e00" <= character < "\ua000" else 1 for character in text)


def test_words_do_not_reach_from_one_piece_of_text_to_the_next() -> None:
    found = read("<p>one<b>two</b> three<p>four")
    assert found is not None
    assert found.texts == ["onetwo three", "four"]
    assert found.words.tolist() == [3, 1]


def test_names_are_read_as_they_are_meant() -> None:
    found = read(f"<div class='a&amp;b&nbsp;{'é' * 450}'><p id='x'>text<p class='y{'é' * 999}'>text")
    assert found is not None
    named, inner, _ = found.places.names
    assert named[:2] == ("a&b", "é" * 396)  # the first 400 characters count
    assert inner == ("x",)
    assert [NAMES[found.tree.tags[found.tree.start[element]]] for element in found.places.elements] == ["div", "p", "p"]
