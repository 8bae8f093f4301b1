from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import HeadwaterError
from stages.web.pages import block_model, blocks, features, html, names


def test_the_trees_ask_for_features_that_there_are_and_get_no_others_instead() -> None:
    page = '<body class=post><h1>Title</h1><p>Text.</p><div class="menu"><a href=x>More.</a></div>'
    normalised, _ = html.normalised(page, 1000)
    found = blocks.read(normalised)
    assert found is not None
    model = block_model.load()
    everything = features.columns(found, features.Everything())
    wanted = features.columns(found, model.wanted)
    assert len(wanted) < len(everything)
    told = model.lexicon.columns(found.places)
    asked = features.table(wanted | told, model.trees.names, 3)
    assert np.array_equal(asked, features.table(everything | told, model.trees.names, 3))


def test_trees_come_back_from_their_file_and_decide_one_by_one_as_they_do_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    trees = block_model.Trees(
        names=("a", "b", "c"),
        questions=rng.integers(0, 3, (2, 5)).astype(np.int16),
        borders=rng.random((2, 5)).astype(np.float32),
        leaves=rng.integers(-9000, 9000, 20).astype(np.int32),
        bias=-50,
    )
    lexicon = names.Lexicon({"post": 700, "größe": 1000, "ad": 0})
    block_model.write(block_model.Model(trees, lexicon, {"seed": 1}), tmp_path / "model.npz")
    again = block_model.read(tmp_path / "model.npz")
    assert (again.about, again.lexicon) == ({"seed": 1}, lexicon)
    table = rng.random((3, 40)).astype(np.float32)
    for block, chance in enumerate(again.trees.chances(table)):
        odds = -50
        for tree in range(5):
            answers = [table[trees.questions[level, tree], block] > trees.borders[level, tree] for level in range(2)]
            odds += int(trees.leaves[4 * tree + answers[0] + 2 * answers[1]])
        assert chance == round(1e6 / (1 + np.exp(-odds / block_model.UNIT)))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.npz").write_bytes(b"something else")
    with pytest.raises(HeadwaterError, match=r"model\.npz: not a model"):
        block_model.read(tmp_path / "model.npz")
