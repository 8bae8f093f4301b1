from stages.web.pages import blocks, html, names
from stages.web.pages.blocks import Blocks

PAGE = """<body class="page"><div class="shop"><div class="rte text"><p>Words of the text.</p>
<div id="yotpo">Stars</div><p class="odd">More words.</p></div><a class="rte">Basket</a></div><p>Imprint</p></body>"""


def read(page: str) -> Blocks:
    tree, _ = html.normalised(page, 1000)
    found = blocks.read(tree)
    assert found is not None
    return found


def test_what_is_known_of_the_names_around_each_block() -> None:
    lexicon = names.Lexicon({"rte": 900, "text": 600, "yotpo": 20, "shop": 300, "page": 500})
    found = lexicon.columns(read(PAGE).places)
    assert {name: column.tolist() for name, column in found.items()} == {
        "name_near_least": [300, 20, 300, 300, 1001],
        "name_near_greatest": [900, 900, 900, 300, -1],
        "name_least": [300, 20, 300, 300, 1001],
        "name_greatest": [900, 900, 900, 300, -1],
        "name_nearest": [750, 20, 750, 300, -1],
    }


def test_names_far_off_are_not_near() -> None:
    found = names.Lexicon({"text": 700}).columns(read(f"<div class=text>{'<div>' * 4}<p>Words.").places)
    assert (found["name_near_greatest"].tolist(), found["name_greatest"].tolist()) == ([-1], [700])
