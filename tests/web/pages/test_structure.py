import numpy as np

from stages.web.pages import blocks, html, structure


def written(page: str) -> str:
    normalised, _ = html.normalised(page, 100_000)
    found = blocks.read(normalised)
    assert found is not None
    (text,) = structure.written(found, np.ones(len(found.texts), bool))
    return text


def test_lists_keep_numbers_and_depth() -> None:
    page = "<ol><li>one<ul><li>a</li><li>b</li></ul></li><li>two<br>lines<p>and more</p></li></ol>"
    assert written(page) == "1. one\n  - a\n  - b\n2. two\nlines\n\nand more"


def test_tables_are_rows_and_layout_is_not() -> None:
    page = "<table><tr><th>Flour<th>Grams<tr><td>Rye<td>500</table>"
    assert written(page) == "Flour | Grams\nRye | 500"
    layout = f"<table><tr><td><p>{'left ' * 200}</p></td><td><p>{'right ' * 200}</p></td></tr></table>"
    assert " | " not in written(layout)


def test_code_keeps_its_indentation() -> None:
    assert written("<pre>    if x:\n        y()\n</pre>") == "```\n    if x:\n        y()\n```"
    lines = "<pre><div>a = 1</div><div>  b = <span>2</span></div></pre>"
    assert written(lines) == "```\na = 1\n  b = 2\n```"
    assert written("<pre>a<br>b</pre>") == "```\na\nb\n```"


def test_lines_and_paragraphs_between_breaks() -> None:
    assert written("<div>one<br>two<br><br>three</div>") == "one\ntwo\n\nthree"


def test_text_that_looks_like_markup_is_marked() -> None:
    assert written("<p># no heading</p><p>```</p>") == "\\# no heading\n\n\\```"


def test_links_that_copy_the_address_of_a_heading_are_no_text() -> None:
    heading = '<h2>Filters <a class="headerlink" href="#filters">&para;</a></h2>'
    assert written(heading + '<p>Rule <a href="#3">§ 3</a> of <a>#<b>py</b></a></p>') == "## Filters\n\nRule § 3 of #py"
