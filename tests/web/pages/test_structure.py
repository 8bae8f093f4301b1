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


def test_cells_stand_in_their_columns() -> None:
    head = "<tr><th><th>2019<th>2020<th><th>all"  # a column of pictures is none
    body = "<tr><th>Rye<td><td>7<td><img><td>7<tr><td>Oats<td>2<td><td><td>2"
    assert written(f"<table>{head}{body}</table>") == "| 2019 | 2020 | all\nRye | | 7 | 7\nOats | 2 | | 2"
    spans = "<tr><td rowspan=2>Rye<td>spring<td>5<tr><td>winter<td>2<tr><td>Oats<td colspan=2>none"
    assert written(f"<table>{spans}</table>") == "Rye | spring | 5\n| winter | 2\nOats | none"
    single = "<tr><td>a<td>b<tr><td><td>c<tr><td colspan=2>In all<tr><td>d<td>e"
    assert written(f"<table>{single}</table>") == "a | b\n| c\n\nIn all\n\nd | e"


def test_a_table_of_hostile_spans_takes_no_time() -> None:
    row = "<tr>" + "<td rowspan=99999 colspan=99>x" * 99
    assert written(f"<table>{row * 20}</table>").count("\n") == 19


def test_numbers_of_lines_are_no_code() -> None:
    table = "<table><tr><td><pre>9\n10\n</pre><td><pre>a = 1\nb = 2\n</pre></table>"
    assert written(table) == "```\na = 1\nb = 2\n```"
    inline = '<pre><span class="ln">1</span>a = 1\n<span class="ln">2</span>\n<span class="ln">3</span>  2</pre>'
    assert written(inline) == "```\na = 1\n\n  2\n```"
    output = "<pre>1\n2\n</pre><p>is printed by</p><pre>print(1)\nprint(2)\n</pre>"
    assert written(output) == "```\n1\n2\n```\n\nis printed by\n\n```\nprint(1)\nprint(2)\n```"


def test_a_list_goes_on_counting() -> None:
    assert written('<ol start="4"><li>four</li><li>five</li></ol>') == "4. four\n5. five"


def test_items_count_as_the_page_says() -> None:
    assert (
        written('<ol><li>one<li value="5">five<li>six<li value="x">seven</ol>') == "1. one\n5. five\n6. six\n7. seven"
    )
    assert written("<ol reversed><li>c<li>b<li>a</ol>") == "3. c\n2. b\n1. a"
    assert written('<ol reversed start="10"><li>a<li>b<li value="3">c<li>d</ol>') == "10. a\n9. b\n3. c\n2. d"
    assert written('<ol start="0" data-start="7"><li>a<li>b</ol>') == "0. a\n1. b"
    assert written('<ul><li value="5">a</ul>') == "- a"


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
