import time

import pytest

from stages.web.sources.links import links


def test_links_are_absolute_and_each_is_given_once() -> None:
    page = """<base href="/docs/"><a href="a.html#part">A</a><A class=x HREF='../b.html'>B</A><a href=a.html>again</a>
    <a rel="nofollow ugc" href="no.html">no</a><a href="mailto:x@example.org">m</a><a href="javascript:void(0)">j</a>
    <a href="c.html?x=1&amp;y=2">C</a><area href="//other.example/"><a href="http://[broken/">x</a><a name="here">y</a>
    <a href="http://h.example:99999/">port</a>"""
    assert links(page, "http://h.example/index.html") == [
        "http://h.example/docs/a.html",
        "http://h.example/b.html",
        "http://h.example/docs/c.html?x=1&y=2",
        "http://other.example/",
    ]


def test_a_page_may_ask_robots_not_to_follow_its_links() -> None:
    page = '<meta name="ROBOTS" content="noindex, NoFollow"><a href="a.html">A</a>'
    assert links(page, "http://h.example/") == []


@pytest.mark.parametrize("unit", ["<a ", "<a href=x", "<a a=1 ", "a=1 ", '<a href="', "<a href=p>", "<meta name=' "])
def test_time_is_linear_whatever_is_in_a_page(unit: str) -> None:
    page = "<a " + unit * (1_000_000 // len(unit)) + ">"
    start = time.process_time()
    links(page, "http://h.example/")
    assert time.process_time() - start < 2  # a quadratic step takes minutes
