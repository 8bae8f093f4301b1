"""The report in a real browser: it asks for nothing, its search finds, its links lead, and keys are enough."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import report
from tests import browser
from tests.release import small_build
from tests.test_report import parameters


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("build")
    report.run(parameters(), **small_build.write(root), report=root / "page/index.html")
    return root / "page/index.html"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Tab]:
    with browser.tab(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_the_page_opens_from_a_file_and_asks_for_nothing(
    tab: browser.Tab, page: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    tab.requests.clear()
    tab.open(page, width=width, dark=dark)

    assert tab.requests == [page.as_uri()]
    assert tab.problems == []
    assert tab.evaluate("document.documentElement.scrollWidth") == width  # nothing sticks out
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(17, 23, 28)" if dark else "rgb(252, 252, 251)")


def test_searching_finds_words_and_reasons_and_marks_hostile_text_as_text(tab: browser.Tab, page: Path) -> None:
    tab.open(page)
    tab.click("#search-words")
    tab.type("<SCRIPT>alert(1)")
    tab.wait("document.querySelectorAll('#search-found li').length === 4")

    assert tab.evaluate("document.querySelector('#search-count').textContent") == "4 found"
    assert tab.evaluate("document.querySelector('#search-found mark').textContent") == "<script>alert(1)"
    assert tab.evaluate("document.querySelectorAll('#search-found script, #search-found img').length") == 0
    tab.evaluate("(s => { s.value = '2'; s.dispatchEvent(new Event('change')); })(document.querySelector('select'))")
    assert tab.evaluate("document.querySelectorAll('#search-found li').length") == 1
    assert tab.evaluate("document.querySelector('#search-found .tag').textContent") == "dedup: near"
    assert tab.problems == []


def test_the_rest_of_what_is_found_comes_when_asked_for(tab: browser.Tab, page: Path) -> None:
    tab.open(page)
    tab.click("#search-words")
    tab.type("example.org")
    tab.wait("document.querySelectorAll('#search-found li').length === 20")
    tab.click("#search-more")

    assert tab.evaluate("document.querySelectorAll('#search-found li').length") == 28
    assert tab.evaluate("document.querySelector('#search-more').hidden")
    assert tab.evaluate("document.activeElement === document.querySelectorAll('#search-found li')[20]")


def test_lineage_is_walked_upstream_by_clicks(tab: browser.Tab, page: Path) -> None:
    tab.open(page)
    tab.click('a[data-stage="filter"]')
    tab.wait("document.querySelector('#stage-filter').open")
    tab.wait("document.querySelector('.edge.on') !== null")

    assert tab.evaluate("document.querySelector('#stage-filter .hash').textContent.length") == 64
    tab.click('#stage-filter a[href="#stage-extract"]')
    tab.wait("document.querySelector('#stage-extract').open")
    assert not tab.evaluate("document.querySelector('#stage-filter').open")
    assert tab.evaluate("[...document.querySelectorAll('.node.on')].map(n => n.dataset.stage)") == ["extract"]


def test_keys_reach_everything_and_show_where_they_are(tab: browser.Tab, page: Path) -> None:
    tab.open(page)
    tab.key("Tab", 9)
    assert tab.evaluate("document.activeElement.className") == "skip"
    for _ in range(14):  # the sections of the page, then the first stage of the graph
        tab.key("Tab", 9)
    assert tab.evaluate("document.activeElement.dataset.stage") == "crawl"
    assert tab.evaluate("getComputedStyle(document.activeElement.querySelector('rect')).strokeWidth") == "3px"
    tab.key("Enter", 13)
    tab.wait("document.querySelector('#stage-crawl').open")
    assert tab.evaluate("document.activeElement.parentElement.id") == "stage-crawl"
    unnamed = "[...document.querySelectorAll('input, select')].filter(e => !e.labels.length).length"
    assert tab.evaluate(unnamed) == 0


def test_without_scripts_everything_but_the_search_is_there(tab: browser.Tab, page: Path) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.call("Page.navigate", url=page.as_uri() + "?without")
        tab.wait("document.readyState === 'complete' && location.search === '?without'")
        assert tab.evaluate("document.querySelector('#search').hidden")
        assert "With scripts allowed" in tab.evaluate("document.body.innerText")
        tab.click("#dropped summary")
        assert tab.evaluate("document.querySelector('#dropped details').open")
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)
