"""Links for leafing go, text that links stays."""

from stages.web.pages import blocks, html, leafing

_HEAD = '<link rel="prev" href="1.html"><link rel="next" href="3.html"><link rel="up" href="../">'
_PROSE = "<p>The second chapter tells how pages are read, and why most of what stands on them is left out.</p>" * 4


def _left_out(head: str, body: str) -> list[str]:
    found = blocks.read(f"<html><head>{head}</head><body>{body}</body></html>")
    assert found is not None
    return [text for text, leafs in zip(found.texts, leafing.found(found), strict=True) if leafs]


def test_links_to_stated_neighbours_are_left_out_in_any_language() -> None:
    body = '<div><a href="1.html">Назад</a></div><ul><li><a href="3.html">次へ</a></li></ul>'
    assert _left_out(_HEAD, body + _PROSE) == ["Назад", "次へ"]
    assert not _left_out("", body + _PROSE)


def test_a_row_of_neighbours_goes_with_the_names_of_their_chapters() -> None:
    row = '<tr><td><a href="1.html">Prev</a></td><td>Chapter 2</td><td><a href="3.html">Next</a></td></tr>'
    assert _left_out(_HEAD, f"<table>{row}</table>{_PROSE}") == ["Prev", "Chapter 2", "Next"]
    data = "<tr>" + "<td>a measured value of it</td>" * 20 + "</tr>"
    assert _left_out(_HEAD, f"<table>{row}{data}</table>") == ["Prev", "Next"]


def test_a_sentence_that_links_to_the_next_page_stays() -> None:
    assert not _left_out(_HEAD, '<p>How they are written is told in the <a href="3.html">next</a> chapter.</p>')


def test_a_page_is_read_the_same_beside_one_that_states_neighbours() -> None:
    alone = html.Page(f'<link rel="home" href="/"><p><a href="/">Where it all begins</a></p>{_PROSE}', "", "")
    other = html.Page(f"<head>{_HEAD}</head>{_PROSE}", "", "")
    assert html.contents([alone], 1000, 100)[0] == html.contents([other, alone], 1000, 100)[1]


def test_manual_pages_lose_their_navigation() -> None:
    row = '<tr><td><a accesskey="p" href="1.html">Prev</a></td><td> </td><td><a href="3.html">Next</a></td></tr>'
    page = f"<html><head><title>Two</title>{_HEAD}</head><body><table>{row}</table><h1>Two</h1>{_PROSE}</body></html>"
    content = html.content(page, 1000, 100)
    assert isinstance(content, html.Content)
    assert "Prev" not in content.text
    assert content.text.count("second chapter") == 4
