"""Documents are compared by their words, without regard to case, spacing and punctuation."""

import numpy as np
import pytest

from stages.web.duplicates import shingles
from stages.web.duplicates.shingles import WordHashes


def test_case_spacing_and_punctuation_do_not_count() -> None:
    hashes = WordHashes()
    one = hashes.of("# The  Title\n\n- first (item),\n- “second” item!")
    two = hashes.of("the title first item second\titem")
    assert np.array_equal(one, two)


@pytest.mark.parametrize(
    "text", ["plain ascii_text, 10 lines", "Straße und Öl\nplain line\n“quoted”", "日本語 text と\nเรา", "हिन्दी में", ""]
)
def test_lines_of_ascii_take_a_faster_path_to_the_same_words(text: str) -> None:
    assert shingles.split(text) == shingles.WORD.findall(text.lower())


def test_scripts_without_spaces_are_split_into_characters() -> None:
    assert shingles.split("日本語 text") == ["日", "本", "語", "text"]


def test_vowel_signs_and_points_are_of_their_word() -> None:
    assert shingles.split("हिन्दी की किताब, শিশু") == ["हिन्दी", "की", "किताब", "শিশু"]
    assert shingles.split("שָׁלוֹם مُحَمَّد") == ["שָׁלוֹם", "مُحَمَّد"]


def test_ngrams_tell_order_apart() -> None:
    hashes = WordHashes()
    assert not set(shingles.ngrams(hashes.of("a b c"), 2)) & set(shingles.ngrams(hashes.of("c b a"), 2))
    assert set(shingles.ngrams(hashes.of("x a b"), 2)) & set(shingles.ngrams(hashes.of("a b y"), 2))


def test_a_short_text_is_one_shingle_and_an_empty_one_too() -> None:
    hashes = WordHashes()
    assert len(shingles.shingles(hashes.of("only three words"), 5)) == 1
    assert len(shingles.shingles(hashes.of("!"), 5)) == 1


def test_jaccard_is_that_of_the_sets() -> None:
    one, two = np.array([1, 2, 3, 4], np.uint64), np.array([3, 4, 9], np.uint64)
    assert shingles.jaccard(one, two) == shingles.jaccard(two, one) == 2 / 5
    assert shingles.jaccard(one, one) == 1.0
