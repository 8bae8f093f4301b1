import random

import pytest

from stages.web.pages import flat_tree, html
from stages.web.pages.flat_tree import NAMES


def tree(page: str) -> flat_tree.FlatTree:
    normalised, reason = html.normalised(page, 100_000)
    assert reason == ""
    found = flat_tree.read([normalised])
    assert found is not None
    return found


def test_every_element_knows_its_parent_and_its_end() -> None:
    found = tree("<div><p>one<b>two</b><br>three<p>four</div><ul><li>a<li>b</ul>")
    names = [NAMES[tag] for tag in found.tags[found.start]]
    assert names == ["html", "head", "body", "div", "p", "b", "p", "ul", "li", "li"]
    assert [names[parent] for parent in found.parent] == [
        "html", "html", "html", "body", "div", "p", "div", "body", "ul", "ul",
    ]  # fmt: skip
    assert [int(depth) for depth in found.depth] == [1, 2, 2, 3, 4, 5, 4, 3, 4, 4]
    homes = {found.text(token): names[found.home[token]] for token in range(len(found.tags)) if found.text(token)}
    assert homes == {"one": "p", "two": "b", "three": "p", "four": "p", "a": "li", "b": "li"}
    assert all(start < end for start, end in zip(found.start, found.end, strict=True))


def test_text_is_that_of_the_page() -> None:
    found = tree("<p title='a<b>c'>1 &lt; 2 &amp;amp; &eacute;<!-- no --><?php no ?><script>no</script>!<xmp><i></xmp>")
    assert "".join(map(found.text, range(len(found.tags)))) == "1 < 2 &amp; é!<i>"


@pytest.mark.parametrize("seed", range(3))
def test_no_page_is_too_broken(seed: int) -> None:
    pieces = [
        "<p", ">", "</p>", "<table>", "<td>", "</table>", "<b>", "</b>", "<a href=x>", "<svg>", "<template>", "text ",
        "<", "&lt;", "<!--", "-->", "<?x", "<select><option>", "<script>", "</script>", "<style>", "<plaintext>",
        "<math><mi>",        "<frameset>",
        '" a="', "'", "<li>", "<h1>", "<pre>\n", "<br>", "</br>", "<noscript>", "<image>", "<form>", "\0",
        "<textarea>", "</body>", "<html class=x>", "<x-y>", "<xmp>", "<title>", "<iframe>", "<br/", "<p a<b=c>",
    ]  # fmt: skip
    rng = random.Random(seed)
    for _ in range(150):
        page = "".join(rng.choices(pieces, k=rng.randrange(1, 60)))
        found = html.content(page, 100_000, 512)
        assert found == "no_text" or isinstance(found, html.Content)
