import re
import time
from pathlib import Path

import pytest

from stages.web.pages import charset, extraction_scores, html
from tests import warcs

EXTRACTION = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "extraction"


def text(page: str) -> str:
    found = html.content(page, max_nodes=100_000, max_depth=512)
    assert isinstance(found, html.Content)
    return found.text


def test_structure_is_kept_and_navigation_is_not() -> None:
    page = """<html><head><title>T</title></head><body><nav><a href="/">Home</a></nav><main>
    <h1>Bread &amp; butter</h1><p>First line,
       <b>bold</b> and&nbsp;&lt;em&gt;.<br>Second line.</p>
    <h2>Steps</h2><ol><li>Knead the dough for ten minutes.</li><li>Wait until it has risen well.</li></ol>
    <pre>if x &lt; 1:
        wait()  </pre>
    <table><tr><th>Flour</th><th>Grams</th></tr><tr><td>Rye</td><td>500</td></tr></table>
    <p># not a heading</p></main><div class="navfooter">Prev Next</div></body></html>"""
    assert text(page) == (
        "# Bread & butter\n\nFirst line, bold and <em>.\nSecond line.\n\n## Steps\n\n"
        "1. Knead the dough for ten minutes.\n2. Wait until it has risen well.\n\n"
        "```\nif x < 1:\n        wait()\n```\n\nFlour | Grams\nRye | 500\n\n\\# not a heading"
    )


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("<div>" * 100_000 + "deep", "too_deep"),
        ("<li><dd>" * 20_000 + "deep, and none of these needs an end tag", "too_deep"),
        ("<p>x" * 200_000, "too_many_nodes"),
        ("<p " + " ".join(f"a{n}=1" for n in range(160_000)) + ">x", "too_many_attributes"),
        ("<p " + " ".join(f"a{n}='>'" for n in range(160_000)) + ">x", "too_many_attributes"),
        ("<p " + "".join(f'a{n}"b' + "\n" for n in range(160_000)) + ">x", "too_many_attributes"),
        ("<p>" + "".join(f"<b id={n}>" for n in range(400)) + "</p><p>x" * 20_000, "too_many_nodes"),
        ("", "no_text"),
        ("<script>alert(1)</script>", "no_text"),
    ],
    ids=["divs", "no end tags", "flat", "attributes", "quoted", "quotes in names", "formatting", "empty", "script"],
)
def test_pages_that_cost_too_much_are_refused_at_once(page: str, reason: str) -> None:
    start = time.process_time()
    assert html.content(page, max_nodes=100_000, max_depth=512) == reason
    assert time.process_time() - start < 5  # unbounded, they take from half a minute to hours


def test_a_frame_that_is_closed_as_in_xml_does_not_swallow_the_page() -> None:
    page = '<noscript><iframe src="https://frame.test/" height="0" /></noscript><p>Text of the page.</p>'
    assert text(page) == "Text of the page."


def test_a_script_is_not_taken_for_a_tag() -> None:
    script = "for (i = 0; i<a.length; i++) { " + "word " * 2000 + "}"
    page = f"<script>{script}</script><p>Text of the page.</p><SCRIPT src=x>{script}</SCRIPT >"
    assert text(page) == "Text of the page."


def test_no_tag_text_is_scanned_twice() -> None:
    start = time.process_time()
    for page in (
        "<a" * 500_000,
        '<a b="' * 200_000,
        "<a b='\"" * 200_000,
        "<" * 90_000 + "a" * 1_000_000,
        "<script a" * 300_000,
        "<a =" * 50_000,
    ):
        html.content(page, max_nodes=10**9, max_depth=512)
    assert time.process_time() - start < 20


def test_text_holds_nothing_that_cannot_be_stored() -> None:
    found = text("<p>a\0b\x07c&#0;d&#xD800;e&#xFFFE;f e\u0301 \u00ad\ufeff</p>")
    assert not re.search("[\0-\x08\ud800-\udfff\ufffe\u00ad\ufeff]", found)
    assert "é" in found
    found.encode("utf-8")


def test_a_literal_control_token_stays_text() -> None:
    assert text("<p>The token &lt;s&gt; begins a text, &lt;|user|&gt; a question.</p>").startswith(
        "The token <s> begins"
    )


def test_pages_of_the_tests_are_read() -> None:
    assert "word3 and the 0th thing" in text(warcs.html(3).decode())


@pytest.mark.skipif(not EXTRACTION.is_dir(), reason="../shared/data/extraction is not here")
def test_main_content_of_real_pages() -> None:
    """Word-level F1 against what people agreed on, mean over pages; trafilatura reaches .818 on all 1,497."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(EXTRACTION / "wcxb_dev.parquet") as file:
        rows = next(file.iter_batches(80, columns=["html", "main_content"])).to_pylist()
    scores = []
    for row in rows:
        found = html.content(charset.decode(row["html"], ""), 100_000, 512)
        scores.append(extraction_scores.word_f1("" if isinstance(found, str) else found.text, row["main_content"]))
    assert sum(scores) / len(scores) > 0.85


def test_pages_say_together_what_they_say_alone() -> None:
    body = "<title>{0} | Site</title><h1>{0}</h1><p>{0} has a text of its own, and a sentence in it.<ul><li>a<li>b</ul>"
    pages = [
        body.format("First") + "<time datetime=2020-01-02>",
        "<p></p>",
        body.format("<p<script"),  # no tree comes out
        "<div>" * 600 + "too deep",
        body.format("Second") + '<meta name=date content="2021-03-04"><ol><li>one<li>two</ol><pre> x</pre>',
        "<p " + " ".join(f"a{n}=1" for n in range(2000)) + ">x",
        "x",
        body.format("一二三"),
    ]
    together = html.contents([html.Page(page, "", "") for page in pages], 100_000, 512)
    assert together == [html.content(page, 100_000, 512) for page in pages]
    assert [found if isinstance(found, str) else found.title for found in together][:2] == ["First", "no_text"]
    assert together[3:6:2] == ["too_deep", "too_many_attributes"]
