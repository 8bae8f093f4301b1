import numpy as np

from stages.web.pages.extraction_labels import agreement, coverage, marked, words


def test_a_menu_that_names_words_of_the_text_is_not_part_of_it() -> None:
    page = ["Bread Rye Wheat", "Rye bread needs time", "and patience", "Wheat bread Rye"]
    labels = coverage([words(block) for block in page], words("Rye bread needs time and patience"))
    assert min(labels[1], labels[2]) >= 0.75
    assert max(labels[0], labels[3]) <= 1 / 3


def test_a_block_that_stands_elsewhere_counts_by_its_shingles() -> None:
    late = "this paragraph of nine words stands at the end"
    wanted = words(f"and this is first {late}")
    assert list(coverage([words(late), words("and this is first")], wanted)) == [1, 0]  # too short to be sure of
    assert list(coverage([words("and this is first"), words(late)], wanted)) == [1, 1]
    long = words("the first paragraph has more words than the last so that it is the one in order")
    assert list(coverage([words(late), long], [*long, *words(late)])) == [1, 1]


def test_agreement_and_what_people_marked() -> None:
    texts = ["main text here", "menu", "doubtful"]
    share, sure = agreement(texts, ["main text here doubtful", "main text here"])
    assert list(share) == [1, 0, 0.5]
    assert list(sure) == [1, 1, 0]
    share, sure = marked(texts, share, sure, {"present": ["doubtful"], "absent": ["menu"]})
    assert np.array_equal(share, [1, 0, 1])
    assert np.array_equal(sure, [1, 3, 3])
