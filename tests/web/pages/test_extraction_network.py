import numpy as np
import torch

from stages.web.pages import extraction_network
from stages.web.pages.block_network import SEEN, UNIT
from stages.web.pages.extraction_network import Example, learnt
from stages.web.pages.segments import Segments


def pages(count: int, seed: int) -> list[Example]:
    """Pages on which a block is main text if one beside it says so, unless a block anywhere says no to the page."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        seen = rng.integers(-SEEN, SEEN, (3, int(rng.integers(5, 40)))).astype(np.int8)
        says = np.less(rng.random(seen.shape[1]), 0.3)
        seen[0] = np.where(says, 3 * SEEN, 0)
        refused = bool(rng.random() < 0.4)
        seen[1] = 0
        seen[1, rng.integers(0, seen.shape[1])] = 3 * SEEN * refused
        beside = np.zeros(len(says), bool)
        beside[1:], beside[:-1] = says[:-1], beside[:-1] | says[1:]
        labels = np.where(beside, not refused, 0).astype(float)
        made.append(Example(seen, labels, np.full(len(labels), 1 / len(labels)), known=True))
    return made


def test_a_network_learns_of_neighbours_and_of_the_whole_page() -> None:
    network = learnt(pages(400, 1), seed=1, epochs=12).network()
    right = []
    for page in pages(60, 2):
        odds = network(page.seen.astype(np.float32), Segments(np.array([0]), len(page.labels)))
        right += ((odds > 0) == (page.labels > 0.5)).tolist()
    assert np.mean(right) > 0.97


def test_whole_numbers_say_what_was_learnt_and_learning_again_gives_the_same() -> None:
    made, threads = pages(40, 1), torch.get_num_threads()
    learner, again = learnt(made, seed=1, epochs=2), learnt(made, seed=1, epochs=2)
    assert torch.get_num_threads() == threads
    network = learner.network()
    for page in made[:10]:
        seen, blocks = page.seen.astype(np.float32), len(page.labels)
        with torch.no_grad():
            odds = learner(torch.from_numpy(seen.T / SEEN), torch.zeros(blocks, dtype=torch.long), 1).numpy()
        assert np.abs(network(seen, Segments(np.array([0]), blocks)) / UNIT - odds).max() < 0.1
        alike = again.network()(seen, Segments(np.array([0]), blocks))
        assert np.array_equal(network(seen, Segments(np.array([0]), blocks)), alike)


def test_a_scale_makes_features_alike_whatever_their_size() -> None:
    rng = np.random.default_rng(1)
    sizes = np.array([[1.0], [1e5]])
    tables = [rng.normal(0, sizes, (2, 50)).astype(np.float32) for _ in range(40)]
    scale = extraction_network.scaled(tables)
    seen = scale(np.concatenate(tables, axis=1))
    assert np.abs(seen.mean(1)).max() < 0.2 * SEEN
    assert np.allclose(seen.std(1), SEEN, rtol=0.2)
