import numpy as np

from stages.web.pages import names
from stages.web.pages.blocks import Places
from stages.web.pages.extraction_lexicon import Counted, Counts, borne


def test_what_bears_a_name_within_another_that_does_counts_once() -> None:
    places = Places(
        np.array([0, 0, 1, 0]), np.array([1, 2, 3]), np.array([1, 2, 3]), [("text",), ("text", "ad"), ("ad",)]
    )
    counts = borne(places, np.array([[0, 1, 2], [2, 2, 3]]), np.array([1, 0, 0.5]), np.array([1.0, 2, 1]))
    assert counts["text"] == (0.75, 0.25)
    assert counts["ad"] == (0.75, 0.125)


def host(number: int, share: float) -> tuple[str, Counts]:
    return f"host{number}", {"body": (0.5, 0.5 * share), "all": (1.0, 0.5)}


def test_a_host_counts_once_and_is_not_told_what_its_own_pages_hold() -> None:
    many = [host(0, 1.0)] * 20 + [host(number, 0.0) for number in range(1, 6)]
    counted = Counted(many)
    known = counted.lexicon().shares
    assert 100 < known["body"] < 300  # one host of six, and the prior
    assert counted.lexicon(without="host0").shares["body"] < known["body"] < counted.lexicon("host1").shares["body"]
    assert counted.lexicon(without="elsewhere").shares == known


def test_a_name_of_few_hosts_is_not_known() -> None:
    counted = Counted(host(number, 1.0) for number in range(4))
    assert counted.lexicon().shares["body"] > names.WHOLE // 2
    assert not counted.lexicon(without="host1").shares
    assert not Counted(host(number, 1.0) for number in range(3)).lexicon().shares
