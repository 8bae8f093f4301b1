"""Passages are cut out of a text, and what is left is Markdown."""

import pytest

from stages.web.duplicates.passages import Passages, keys_of_paragraphs, keys_of_runs, pieces, without
from stages.web.duplicates.shingles import WordHashes

PAGE = """# The manual

Everyone may copy this manual, as the licence says.

## Setting up

Put the disk into the drive and
turn the machine on.

- first of all, switch it on
- second, wait for a minute
  or for two
1. number one

```
apt install manual

# not a heading
```

name | meaning of it
size | how large it is

## Licence

### In short

Everyone may do what they like, “as they like it”, with it.

## Thanks

To all."""

HASHES = WordHashes()


def cut(text: str, *gone: str, paragraph: int = 10, run: int = 0) -> str:
    """``text`` without the paragraphs, or the runs of ``run`` words, of the texts ``gone``."""
    keys: set[int] = set()
    for other in gone:
        keys |= set(
            (keys_of_runs(other, run, HASHES) if run else keys_of_paragraphs(other, paragraph, HASHES)).tolist()
        )
    params = Passages(paragraph_characters=0 if run else paragraph, paragraph_documents=1, run_words=run, min_words=0)
    return without(text, keys, params, HASHES)


def test_the_pieces_make_up_the_text() -> None:
    found = pieces(PAGE)
    assert "".join(one.gap + PAGE[one.start : one.end] for one in found).lstrip("\n") == PAGE
    shown = [PAGE[one.start : one.end].split("\n")[0] for one in found]
    assert shown[3:9] == [
        "Put the disk into the drive and",
        "- first of all, switch it on",
        "- second, wait for a minute",
        "1. number one",
        "```",
        "name | meaning of it",
    ]


def test_what_is_not_among_the_keys_stays_as_it_is() -> None:
    assert cut(PAGE, "Something else altogether.") == PAGE
    assert cut(PAGE, "Something else altogether, in many more words than that.", run=3) == PAGE


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        ("PUT the disk, into the drive and turn the machine on", "## Setting up\n\n- first of all"),
        ("* first of all switch it on", "turn the machine on.\n\n- second, wait"),
        ("- second, wait for a minute or for two", "switch it on\n1. number one"),
        ("```\napt install manual\n\n# not a heading\n```", "1. number one\n\nname | meaning"),
        ("size | how large it is", "name | meaning of it\n\n## Licence"),
    ],
)
def test_a_paragraph_goes_and_its_neighbours_stand_as_they_did(gone: str, expected: str) -> None:
    assert expected in cut(PAGE, gone)


def test_a_heading_goes_with_all_that_stood_below_it() -> None:
    left = cut(PAGE, "Everyone may do what they like, as they like it, with it.")
    assert left == PAGE[: PAGE.index("\n\n## Licence")] + PAGE[PAGE.index("\n\n## Thanks") :]
    assert "Setting" in cut(PAGE, "Put the disk into the drive and turn the machine on.")


def test_short_paragraphs_stay() -> None:
    assert cut(PAGE, PAGE, paragraph=40).startswith("# The manual\n\n## Setting up\n\n- first of all, switch it on\n")


def test_a_run_is_cut_out_of_running_text_to_the_word() -> None:
    assert cut("Say: “one two, three (four)” five six.", "one two three four", run=4) == "Say: “five six."
    assert cut("One two, three four. Five six!", "zero one two three four", run=4) == "Five six!"
    assert cut("Zero. One two, three four.", "one two three four", run=4) == "Zero."
    assert cut("- one two, three four five", "one two three four", run=4) == "- five"


def test_a_run_takes_only_whole_headings_rows_and_blocks_of_code() -> None:
    text = "# One two three\n\nfour five\n\n```\nsix seven\neight\n```\n\nnine | ten"
    assert cut(text, "two three four five six seven", run=6) == text.replace("four five\n\n", "")
    assert cut(text, text, run=6) == ""
    assert cut(text, "x one two three four five six seven eight", run=6) == "nine | ten"


def test_runs_of_scripts_without_spaces() -> None:
    assert cut("日本語のテキストです。終わり。", "日本語のテキストです", run=5) == "終わり。"


def test_an_open_block_of_code_ends_with_the_text() -> None:
    assert len(pieces("```\none\n\ntwo")) == 1
    assert [one.whole for one in pieces("````\n```\n````\ntext")] == [True, False]


def test_drawings_without_words_are_not_all_the_same() -> None:
    boxes, arrows = "┌────┐ └────┘", "──▶ ──▶ ◀── ↕"
    assert cut(f"one\n\n{boxes}", arrows) == f"one\n\n{boxes}"
