from pathlib import Path

import numpy as np
import pytest

from stages.core.errors import HeadwaterError
from stages.web.pages import block_model, block_network, blocks, features, html, names
from stages.web.pages.block_network import SEEN, Scale
from stages.web.pages.segments import Segments
from tests.web.pages.test_block_network import random_network


def test_the_networks_ask_for_features_that_there_are_and_get_no_others_instead() -> None:
    page = '<body class=post><h1>Title</h1><p>Text.</p><div class="menu"><a href=x>More.</a></div>'
    normalised, _ = html.normalised(page, 1000)
    found = blocks.read(normalised)
    assert found is not None
    model = block_model.load()
    everything = features.columns(found, features.Everything())
    wanted = features.columns(found, model.wanted)
    assert len(wanted) < len(everything)
    told = model.lexicon.columns(found.places)
    asked = features.table(wanted | told, model.names, 3)
    assert np.array_equal(asked, features.table(everything | told, model.names, 3))


def test_a_model_comes_back_from_its_file_and_gives_the_chances_of_its_mean_odds(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    model = block_model.Model(
        names=("a", "b", "c"),
        scale=Scale(np.zeros(3, np.float32), np.full(3, SEEN, np.float32)),
        networks=(random_network(rng, features=3), random_network(rng, features=3)),
        lexicon=names.Lexicon({"post": 700, "größe": 1000, "ad": 0}),
        about={"seed": 1},
    )
    block_model.write(model, tmp_path / "model.npz")
    again = block_model.read(tmp_path / "model.npz")
    assert (again.names, again.about, again.lexicon) == (model.names, model.about, model.lexicon)
    table, pages = rng.random((3, 40)).astype(np.float32), Segments(np.array([0, 15]), 40)
    first, second = (network(model.scale(table), pages) for network in model.networks)
    chances = np.round(1e6 / (1 + np.exp(-((first + second) // 2) / block_network.UNIT)))
    assert again.chances(table, pages).tolist() == model.chances(table, pages).tolist() == chances.tolist()


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.npz").write_bytes(b"something else")
    with pytest.raises(HeadwaterError, match=r"model\.npz: not a model"):
        block_model.read(tmp_path / "model.npz")
