"""Texts with classes, tags and numbers: their tokens, their names, and what changes them while they are learned."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from stages.core.errors import HeadwaterError
from stages.core.examples import IGNORED
from stages.text import completions, conversion, labelled, sampling, tables, tokenizers, vocabulary
from stages.text.augmentation import Augmentation, Augmented, Labelled
from stages.text.completions import Completion
from tests.text import corpus
from tests.text.columns import COLUMNS

CHANGES = Augmentation(rows=1.0, delete=0.2, swap=0.2, insert=0.2, replace=0.2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer's folder."""
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / tokenizers.MODEL).write_bytes(vocabulary.learn(corpus.manual(50_000), 600, 0.9995, 16))
    conversion.save(conversion.convert(tokenizers.load(folder)), folder)
    return folder


def text(words: str, label: str = "", value: float = 0.0) -> Labelled:
    """A text with a class or a number."""
    return Labelled("a, row 1", "a: row 1", (words,), (label,) if label else (), value)


def tagged(*words: tuple[str, str]) -> Labelled:
    """Words with tags."""
    return Labelled("a, row 1", "a: row 1", tuple(word for word, _ in words), tuple(tag for _, tag in words))


def test_a_text_has_the_tokens_that_transformers_gives_it_and_is_cut_at_its_end(folder: Path) -> None:
    theirs: Any = AutoTokenizer.from_pretrained(folder)
    learned = tokenizers.load(folder)
    row = text("The server  reads\nthe file é.", "good")
    whole = labelled.encode(learned, row, {"bad": 0, "good": 1}, limit=100)
    assert list(whole.ids) == theirs(row.words[0])["input_ids"]
    assert (whole.value, whole.cut) == (1.0, False)
    cut = labelled.encode(learned, row, {"bad": 0, "good": 1}, limit=5)
    assert (cut.ids, cut.cut) == (whole.ids[:5], True)
    assert labelled.encode(learned, text("<s>", value=2.5), {}, limit=9).value == 2.5


def test_the_last_token_of_a_word_has_its_tag(folder: Path) -> None:
    theirs: Any = AutoTokenizer.from_pretrained(folder)
    row = tagged(("Configuration", "O"), ("of", "O"), ("Zürich", "B"))
    found = labelled.encode_words(tokenizers.load(folder), row, {"O": 0, "B": 1}, limit=100)
    assert list(found.ids) == theirs(" ".join(row.words))["input_ids"]
    at = [place for place, label in enumerate(found.labels) if label != IGNORED]
    assert [theirs.decode(found.ids[1 : place + 1]) for place in at] == [
        "Configuration",
        "Configuration of",
        "Configuration of Zürich",
    ]
    assert [found.labels[place] for place in at] == [0, 0, 1]
    cut = labelled.encode_words(tokenizers.load(folder), row, {"O": 0, "B": 1}, limit=len(found.ids) - 1)
    assert (cut.cut, len(cut.ids)) == (True, at[1] + 1)


def test_a_prompt_loses_its_beginning_so_that_its_completion_stays_whole(folder: Path) -> None:
    learned = tokenizers.load(folder)
    row = Completion("a, row 1", "The first words of this prompt are cut. Yes", " or no.")
    whole = completions.encode(learned, row, limit=1000)
    assert whole is not None
    assert whole.ids == [tokenizers.BEGIN, *learned.encode(row.prompt), *learned.encode(row.completion), tokenizers.END]
    assert sum(whole.learned) == len(learned.encode(row.completion)) + 1
    cut = completions.encode(learned, row, limit=len(whole.ids) - 3)
    assert cut is not None
    assert cut.cut
    assert cut.ids == [tokenizers.BEGIN, *whole.ids[4:]]
    assert completions.encode(learned, row, limit=sum(whole.learned) + 1) is None


def test_names_are_all_that_there_are_in_an_order_of_their_own() -> None:
    rows = [text("x", name) for name in ("10", "9", "good", "9")]
    assert labelled.names(rows, ()) == labelled.names(rows[::-1], ()) == ("9", "10", "good")
    assert labelled.names(rows, ("good", "9", "10", "11")) == ("good", "9", "10", "11")
    with pytest.raises(HeadwaterError, match="a: row 1: unknown label 'good'; did you mean 'Good'"):
        labelled.names(rows, ("9", "10", "Good"))
    with pytest.raises(HeadwaterError, match=r"finetune\.rows\.labels names '9' twice"):
        labelled.names(rows, ("9", "10", "good", "9"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "2 words in 'tokens', 1 tags"),
        ({"tokens": "a b", "tags": ["O"]}, "column 'tokens' is no list, or an empty one"),
        ({"tokens": [], "tags": []}, "column 'tokens' is no list, or an empty one"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, "column 'tokens' holds an empty word"),
        ({"tokens": ["a"], "tags": [None]}, "column 'tags' holds 'None', no name and no whole number"),
    ],
)
def test_words_without_tags_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(HeadwaterError, match=f"a: row 1: {message}"):
        labelled.tags(tables.Row("a, row 1", "a: row 1", values), COLUMNS)


@pytest.mark.parametrize("value", ["much", "nan", True, None, [1]])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(HeadwaterError, match=r"a: row 1: column 'label' is (no number|empty)"):
        labelled.scores(tables.Row("a, row 1", "a: row 1", {"text": "x", "label": value}), COLUMNS)


def test_changes_depend_on_seed_and_position_alone_and_leave_what_is_measured() -> None:
    rows = [text(" ".join(f"{name}{number}" for number in range(20)), name) for name in ("a", "b", "c")]
    one, other, seeded = (Augmented(rows, CHANGES, seed, tagged=False) for seed in (1, 1, 2))
    assert one(0, 5) == other(0, 5)
    assert len({one(0, position).words for position in range(20)}) == 20
    assert one(0, 5) != seeded(0, 5)
    assert one(1, -3) == rows[1]
    assert all(one(2, position).labels == ("c",) for position in range(20))
    some = Augmented(rows, Augmentation(rows=0.5, delete=0.5, swap=0, insert=0, replace=0), 1, tagged=False)
    assert 70 < sum(some(0, position) == rows[0] for position in range(200)) < 130


@pytest.mark.parametrize(("kind", "low", "high"), [("delete", 140, 180), ("insert", 220, 260), ("replace", 200, 200)])
def test_each_change_does_what_it_is_called(kind: str, low: int, high: int) -> None:
    shares = dict.fromkeys(("delete", "swap", "insert", "replace"), 0.0) | {kind: 0.2}
    rows = [text(" ".join(f"w{number}" for number in range(200)), "a"), text("x y z", "b")]
    (words,) = (Augmented(rows, Augmentation(rows=1.0, **shares), 1, tagged=False)(0, 0).words,)
    assert low <= len(words) <= high
    assert set(words) <= {*rows[0].words[0].split(), "x", "y", "z"}
    assert words != tuple(rows[0].words[0].split())


def test_entities_stay_as_they_are() -> None:
    row = tagged(*[(f"w{number}", "O") for number in range(10)], ("New", "B-LOC"), ("York", "I-LOC"), ("x", "O"))
    changed = Augmented([row], CHANGES, 1, tagged=True)
    for position in range(50):
        found = changed(0, position)
        assert len(found.words) == len(found.labels)
        at = found.words.index("New")
        assert [(found.words[at + k], found.labels[at + k]) for k in (0,)] == [("New", "B-LOC")]
        assert found.labels.count("I-LOC") == 1
        assert found.words[found.labels.index("I-LOC")] == "York"


def test_a_text_of_which_all_is_deleted_keeps_a_word() -> None:
    rows = [text("one two", "a"), text("x", "b")]
    changed = Augmented(rows, Augmentation(rows=1.0, delete=0.99, swap=0, insert=0, replace=0), 1, tagged=False)
    assert all(changed(0, position).words for position in range(100))


def test_the_share_that_is_measured_on_is_drawn_whatever_else_there_is() -> None:
    wanted = sampling.Wanted(most=40, test=sampling.Measured(file="", share=0.25), columns=COLUMNS, labels=())
    rows = [text("x")._replace(source=f"a, row {number}") for number in range(100)]
    given = sampling.deal(rows, wanted, 1, [])
    assert (len(given.learned), len(given.tested), given.seen) == (30, 10, 100)
    assert given.dropped == {"not_sampled": 60, "tested": 10}
    assert not {row.source for row in given.learned} & {row.source for row in given.tested}
    assert sampling.deal(rows[::-1], wanted, 1, []).tested == given.tested
