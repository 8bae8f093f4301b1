import random

import numpy as np
import pytest

from stages.web.pages import flat_tree, html
from stages.web.pages.tags import NAMES


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


def test_no_text_holds_what_ends_it() -> None:
    found = flat_tree.read(["<html><p>a\0b</p></html>"])
    assert found is not None
    assert found.text(1) == "ab"


def test_entities_are_read_once() -> None:
    found = tree("<p class='a&amp;lt;b &lt;c&gt;'>&amp;lt; &nbsp;|&quot;&amp;&amp;")
    assert "".join(map(found.text, range(len(found.tags)))) == '&lt; \xa0|"&&'
    (paragraph,) = [token for token in range(len(found.tags)) if NAMES[found.tags[token]] == "p" and found.opens[token]]
    assert flat_tree.seen(found.attributes(paragraph)) == ' class="a&lt;b <c>"'


@pytest.mark.parametrize("deep", [100, 1 << 16])
def test_trees_of_any_depth(deep: int) -> None:
    found = flat_tree.read([f"<html>{'<b>' * deep}x{'</b>' * deep}</html>"])
    assert found is not None
    assert found.parent.tolist() == [0, *range(deep)]
    assert found.end.tolist() == [2 * deep + 1 - place for place in range(deep + 1)]
    assert found.home.tolist() == [*range(deep + 1), *reversed(range(deep)), 0]


def test_several_texts_and_what_ends_each() -> None:
    found = tree("<p>one <b>\n</b> &lt;two&gt;<i>три</i>\t \u3000<u>\n \t</u>")
    (tokens,) = np.nonzero(found.stop > found.begin)
    codes, ends = found.texts(tokens)
    texts = codes.tobytes().decode("utf-32-le").split("\0")
    assert texts == ["one ", "\n", " <two>", "три", "\t \u3000", "\n \t", ""]
    assert codes[ends].tolist() == [0] * 6
    assert found.blank(tokens).tolist() == [False, True, False, False, False, True]  # of what ASCII has


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
