import pytest

from stages.web.pages.extraction_scores import shingle_f1, snippet_f1, word_f1


def test_words_are_a_bag() -> None:
    assert word_f1("One two TWO", "two one two") == 1
    assert word_f1("a b c d", "a b") == pytest.approx(2 / 3)
    assert word_f1("", "a") == word_f1("a", "") == 0


def test_nothing_where_nothing_is_wanted_is_right() -> None:
    assert word_f1("", "") == word_f1(" ", "\n") == 1


def test_shingles_keep_the_order() -> None:
    assert shingle_f1([("a b c d e", "a b c d e")]) == 1
    assert shingle_f1([("e d c b a", "a b c d e")]) == 0
    assert shingle_f1([("a b c d e", "a b c d x")]) == pytest.approx(1 / 2)


def test_snippets_count_where_they_are_and_where_they_must_not_be() -> None:
    assert snippet_f1([("text and menu", ["text"], ["menu"]), ("text", ["text"], ["menu"])]) == pytest.approx(0.8)
