"""Parameters: wrong ones are named with the way out, right ones arrive typed."""

from pathlib import Path

import pytest

from stages.core.errors import HeadwaterError
from stages.core.params import as_json, describe, load, params


@params
class Rule:
    min_words: int
    """Fewest words of a document."""


@params
class Params:
    similarity: float
    """Jaccard similarity, 0–1."""
    rule: Rule
    """One rule."""
    languages: tuple[str, ...]
    """ISO 639-1."""


def written(folder: Path, text: str) -> Path:
    file = folder / "params.yaml"
    file.write_text(text, "utf-8")
    return file


def test_values_arrive_typed_also_where_yaml_reads_text(tmp_path: Path) -> None:
    # YAML 1.1 reads 1e-3 as a string.
    file = written(tmp_path, "filter: {similarity: 1e-3, rule: {min_words: 50}, languages: [en, de]}")
    values = load(Params, "filter", file)
    assert values == Params(similarity=0.001, rule=Rule(min_words=50), languages=("en", "de"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "f: {similarity: 1, languages: [], rule: {min_words: 50x}}",
            'f.rule.min_words must be a whole number, got "50x"',
        ),
        (
            "f: {similarity: 1, languages: [], rule: {min_words: 1.5}}",
            "f.rule.min_words must be a whole number, got 1.5",
        ),
        (
            "f: {similarty: 1, languages: [], rule: {min_words: 5}}",
            "f.similarty is not a parameter; did you mean 'similarity'?",
        ),
        (
            "f: {similarity: 1, languages: [], rule: {min_word: 5}}",
            "f.rule.min_word is not a parameter; did you mean 'min_words'?",
        ),
        ("f: {similarity: 1, languages: [], rule: {min_words: off}}", "f.rule.min_words must be a number, got false"),
        ("f: {similarity: yes, languages: [], rule: {min_words: 5}}", "f.similarity must be a number, got true"),
        ("f: {similarity: 1, languages: []}", "f.rule is missing"),
        ("f: {similarity: 1, languages: [], rule: 7}", "f.rule must be a section with keys, got 7"),
        ("f: {similarity: 1, languages: en, rule: {min_words: 5}}", 'f.languages must be a list, got "en"'),
        ("g: {}", "section 'f' is missing; it has g"),
        ("[", "not valid YAML"),
        ("7", "must be a mapping of sections"),
    ],
)
def test_a_wrong_value_is_named_with_the_way_out(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(HeadwaterError) as caught:
        load(Params, "f", written(tmp_path, text))
    assert error in str(caught.value)
    assert str(tmp_path / "params.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_bytes("f: {similarity: café}".encode("latin-1"))
    with pytest.raises(HeadwaterError, match=r"params\.yaml: not UTF-8: .* at byte 19"):
        load(Params, "f", file)


def test_help_shows_every_value_with_its_meaning() -> None:
    values = Params(similarity=0.8, rule=Rule(min_words=50), languages=("en",))
    assert describe(Params, values) == [
        "  similarity = 0.8: Jaccard similarity, 0–1.",
        "  rule: One rule.",
        "    min_words = 50: Fewest words of a document.",
        '  languages = ["en"]: ISO 639-1.',
    ]


def test_one_spelling_for_one_set_of_parameters() -> None:
    assert as_json({"b": 1, "a": (2,)}) == as_json({"a": [2], "b": 1})
