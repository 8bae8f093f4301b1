"""Which documents a vocabulary is learned from."""

from pathlib import Path

from stages.core import shards
from stages.text import vocabulary
from tests.text import corpus


def test_the_draw_does_not_depend_on_shards_or_on_documents_that_came_later(tmp_path: Path) -> None:
    texts = [f"document {number}" for number in range(100)]
    few = corpus.write(tmp_path / "few", texts[:80], shards=1)
    many = corpus.write(tmp_path / "many", texts, shards=7)
    order = [name for name, _ in vocabulary.draw(shards.files(few), 1, 10**6)]
    grown = [name for name, _ in vocabulary.draw(shards.files(many), 1, 10**6)]
    assert [name for name in grown if name in set(order)] == order
    assert [name for name, _ in vocabulary.draw(shards.files(many), 2, 10**6)] != grown


def test_the_sample_is_as_large_as_asked_and_no_larger() -> None:
    drawn = [("a", 5), ("b", 4), ("c", 1)]
    assert vocabulary.within(drawn, 9) == {"a", "b"}
    assert vocabulary.within(drawn, 8) == {"a"}
    assert vocabulary.within(drawn, 4) == set()


def test_a_draw_holds_no_more_than_its_sample_needs(tmp_path: Path) -> None:
    folder = corpus.write(
        tmp_path / "documents", [f"{number:04d}" * (1 + number % 9) for number in range(300)], shards=3
    )
    whole = vocabulary.draw(shards.files(folder), 1, 10**6)
    assert len(whole) == 300
    for limit in (0, 3, 4, 500, 1001):
        few = vocabulary.draw(shards.files(folder), 1, limit)
        assert vocabulary.within(few, limit) == vocabulary.within(whole, limit)
        assert few == whole[: len(few)]
        assert sum(size for _, size in few[:-1]) <= limit


def test_a_page_with_the_trainers_own_mark_is_learned_from() -> None:
    with_mark = ["abracadabra ▅ " * 20]
    without = ["abracadabra   " * 20]
    assert vocabulary.learn(with_mark, 280, 1.0, 16) == vocabulary.learn(without, 280, 1.0, 16)
