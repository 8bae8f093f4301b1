"""The report opens offline, shows what is there, and nothing that came from the web is markup in it."""

import html.parser
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages import report
from stages.core import params
from stages.core.errors import HeadwaterError
from stages.scoring import classification
from tests.release import small_build

VALUES: dict[str, Any] = {
    "title": "A small build",
    "examples": 10,
    "characters": 300,
    "search_bytes": 20_000,
    "search_characters": 100,
    "duplicate_groups": 3,
    "duplicate_copies": 4,
    "compared_rows": 5,
    "bins": 8,
    "pieces": 10,
    "tokenized_documents": 5,
    "counted_tokens": 10_000,
    "rows": 20,
    "curve_points": 50,
    "max_bytes": 200_000,
}

# All elements of the page; none of them but its own script runs, none loads or sends anything.
ELEMENTS = frozenset(
    {
        *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "article", "footer"),
        *("a", "h1", "h2", "h3", "p", "span", "strong", "bdi", "mark", "pre", "code", "details", "summary"),
        *("dl", "dt", "dd", "div", "ul", "ol", "li", "table", "caption", "thead", "tbody", "tr", "th", "td"),
        *("figure", "figcaption", "svg", "rect", "text", "line", "polyline", "path", "h4", "br", "del", "ins"),
        *("script", "noscript", "form", "label", "input", "select", "option", "button"),
    }
)


class Page(html.parser.HTMLParser):
    """Elements, attributes and text of a page, as a browser sees them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.text = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= set(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def parameters(**changes: Any) -> report.Params:
    return params.check(report.Params, VALUES | changes, "report")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return small_build.write(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="module")
def page(inputs: dict[str, Any]) -> Path:
    path: Path = inputs["manifest"].parents[1] / "report/index.html"
    report.run(parameters(), **inputs, report=path)
    return path


def test_hostile_text_is_shown_and_is_never_markup(page: Path) -> None:
    found = Page(page)

    assert found.elements <= ELEMENTS
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("src", "style", "srcdoc")]
    assert all((value or "").startswith("#") for name, value in found.attributes if name == "href")
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f]", page.read_text("utf-8"))
    for text in small_build.HOSTILE:
        assert re.sub("[\u202a-\u202e\u2066-\u2069\x00\x1b]", lambda c: f"⟨U+{ord(c[0]):04X}⟩", text) in found.text


def test_the_page_allows_its_own_style_and_script_and_nothing_else(page: Path) -> None:
    content = page.read_text("utf-8")

    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', content)
    allowed = (
        r"default-src 'none'; style-src 'sha256-[^']*'; base-uri 'none'; form-action 'none'; script-src 'sha256-[^']*'"
    )
    assert re.fullmatch(allowed, policy.replace("&#39;", "'"))
    assert not re.findall(r"url\(|@import|https?://", re.sub(r"https://example.org", "", content))


def test_dropped_documents_are_listed_for_the_search_as_data_that_ends_no_element(page: Path) -> None:
    (data,) = re.findall(r'<script type="application/json" id="index">(.*?)</script>', page.read_text("utf-8"), re.S)

    assert not set("<>&") & set(data)
    index = json.loads(data)
    assert [stage for stage, _ in index["reasons"]] == ["extract", "filter", "dedup", "decontaminate"]
    addresses, before = [], ""
    for shared, rest, *_ in index["rows"]:
        before = before[:shared] + rest
        addresses.append(before)
    assert addresses == sorted(addresses)
    assert addresses.count(f"https://example.org/{small_build.HOSTILE[0]}") == 4


def test_a_list_that_would_be_too_long_holds_some_of_every_reason(inputs: dict[str, Any], tmp_path: Path) -> None:
    report.run(parameters(search_bytes=600), **inputs, report=tmp_path / "index.html")

    content = (tmp_path / "index.html").read_text("utf-8")
    (data,) = re.findall(r'<script type="application/json" id="index">(.*?)</script>', content, re.S)
    listed = [row[2] for row in json.loads(data)["rows"]]
    assert sorted(set(listed)) == [0, 1, 2, 3]
    assert f"Search {len(listed)} of the 28 dropped documents" in " ".join(Page(tmp_path / "index.html").text.split())


def test_limits_of_scores_spikes_unused_tokens_and_lineage_are_there(page: Path) -> None:
    text = " ".join(Page(page).text.split())

    assert "words at least 50, at most 100,000" in text
    assert "4 of 12 beyond" in text
    assert re.search(r"language_score at least 0.85\s*0 of 12 beyond", text)
    assert re.search(r"similarity at most 0.8\s*7 of 7 beyond", text)
    assert "limit 50" in text
    assert "Step 7 was not learned from: leap, loss 9.5" in text
    assert "learned pieces are not among the 5 packed tokens" in text
    attributes = Page(page).attributes
    assert ("href", "#stage-extract") in attributes
    assert ("data-from", "extract") in attributes
    assert re.search(r"extract/documents from extract [0-9a-f]{64} ?1 file, [\d,]+ bytes", text)


def test_what_was_taken_down_is_looked_for_in_all_that_was_made(
    page: Path, inputs: dict[str, Any], tmp_path: Path
) -> None:
    text = " ".join(Page(page).text.split())
    assert "The list names pages by URL (1)." in text
    assert re.search(r"nothing left None of \d+ documents in 7 folders", text)
    assert re.search("e{32}\\s*0.875", text)
    document = pq.read_table(inputs["training"]).to_pylist()[-1]
    (tmp_path / "takedown.txt").write_text(f"{document['id']}\n", "utf-8")
    report.run(parameters(), **inputs | {"takedown": tmp_path / "takedown.txt"}, report=tmp_path / "index.html")
    text = " ".join(Page(tmp_path / "index.html").text.split())
    assert f"{inputs['training'].as_posix()} {document['url']}" in text
    assert f"{inputs['tokens'].as_posix()} tokens of them" in text


def test_the_build_is_set_beside_the_last_promoted_model(page: Path, inputs: dict[str, Any], tmp_path: Path) -> None:
    text = " ".join(Page(page).text.split())
    assert "v3.0.0 of commit 0123456789ab was promoted for this: <script>alert(1)</script>" in text
    assert re.search(r"held_out\s*bits_per_byte\s*12\s*1.910\s*0.955\s*-0.955\s*-\d\.\d+ to -\d\.\d+\s*better", text)
    (tmp_path / "champion.json").write_text("{}", "utf-8")
    report.run(parameters(), **inputs | {"promoted": tmp_path}, report=tmp_path / "index.html")
    assert "python -m flows.promote --record" in Page(tmp_path / "index.html").text
    (tmp_path / "champion.json").write_text("{", "utf-8")
    with pytest.raises(HeadwaterError, match=r"champion\.json is damaged"):
        report.run(parameters(), **inputs | {"promoted": tmp_path}, report=tmp_path / "index.html")


def test_counts_reasons_examples_and_groups_are_there(page: Path) -> None:
    text = Page(page).text

    assert "12 → 5" in text  # extract, in and out
    assert "58.33 %" in text
    assert text.count("https://example.org/<script>alert(1)</script>") >= 5
    assert "7 copies" in text
    assert "0.900" in text
    assert "1.500 ± 0.100" in text
    assert "+5.0 standard errors" in text
    assert "it wrote 50 tokens in a row" in text
    assert "7 25.0 to 75.0 %" in text
    assert "trained alike with adamw at 0.004, muon at 0.004. Not a part of this build" in " ".join(text.split())
    assert "Held-out loss against seconds of one core; adamw at 0.004: 7.500 at 20" in text
    assert re.search(r"-0\.100 -0\.200 to -0\.010\s*worse", text)


def test_classes_that_were_learned_are_shown_with_their_confusion(inputs: dict[str, Any], tmp_path: Path) -> None:
    classes = classification.classes(
        np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1]), [small_build.HOSTILE[0], "b"]
    )
    tuned = tmp_path / "finetune.json"
    tuned.write_text(json.dumps({"in": 5, "out": 5, "dropped": {}, "test": classes}), "utf-8")
    measured = tuple(tuned if path.stem == "finetune" else path for path in inputs["measured"])
    report.run(parameters(), **inputs | {"measured": measured}, report=tmp_path / "index.html")

    found = Page(tmp_path / "index.html")
    assert found.elements <= ELEMENTS
    assert re.search(r"accuracy\s*0\.800\s*0\.\d+ to 1\.000", found.text)
    assert re.search(r"alert\(1\)</script>\s*2\s*1\s*b\s*0\s*2", found.text)


def test_what_earlier_steps_could_do_is_drawn(page: Path) -> None:
    assert (
        "share of cloze questions answered right, from 0.250 after 1,000 tokens to 0.500 after 3,000"
        in page.read_text()
    )


def test_held_out_loss_is_drawn_where_it_was_measured(page: Path) -> None:
    curves = re.findall(r'points="([^"]*)"><title>loss of held-out rows<', page.read_text("utf-8"))

    assert [len(curve.split()) for curve in curves] == [10, 10]  # of 99 steps, with a measurement in every tenth


def test_the_same_build_gives_the_same_page(inputs: dict[str, Any], page: Path, tmp_path: Path) -> None:
    report.run(parameters(), **inputs, report=tmp_path / "index.html")

    assert (tmp_path / "index.html").read_bytes() == page.read_bytes()


def test_a_build_in_which_nothing_happened_has_a_page(tmp_path: Path) -> None:
    inputs = small_build.write(tmp_path, hostile=False)
    for folder in (inputs["documents"], inputs["training"], inputs["kept"], *inputs["dropped"]):
        shard = folder / "00000.parquet"
        pq.write_table(pq.read_table(shard).slice(0, 0), shard)
    inputs["logs"][0].write_text("step,tokens,loss,learning_rate,gradient_norm\n1,100,2.0,0.1,1.0\n", "utf-8")
    (inputs["results"] / "results.json").write_text("{}", "utf-8")
    (inputs["results"] / "samples.jsonl").unlink()
    metrics = report.run(parameters(), **inputs, report=tmp_path / "index.html")

    text = Page(tmp_path / "index.html").text
    assert "No document was dropped." in text
    assert "No document was a duplicate of another." in text
    assert "Too short to draw a curve." in text
    assert "Bits per byte were not measured." in text
    assert metrics["in"] == metrics["out"] == 0


def test_what_is_missing_is_named(inputs: dict[str, Any], tmp_path: Path) -> None:
    target = tmp_path / "index.html"
    without = tuple(path for path in inputs["measured"] if path.stem != "dedup")
    with pytest.raises(HeadwaterError, match=r"lacks metrics/dedup\.json"):
        report.run(parameters(), **inputs | {"measured": without}, report=target)
    with pytest.raises(HeadwaterError, match=r"results\.json: no results here.*dvc repro evaluate"):
        report.run(parameters(), **inputs | {"results": tmp_path}, report=target)
    with pytest.raises(HeadwaterError, match=r"allows report\.max_bytes 1,000: lower"):
        report.run(parameters(max_bytes=1000), **inputs, report=target)
    damaged = tmp_path / "crawl.json"
    damaged.write_text("[1]", "utf-8")
    with pytest.raises(HeadwaterError, match="metrics must be a JSON object, got list"):
        report.run(parameters(), **inputs | {"measured": (damaged, *inputs["measured"][1:])}, report=target)

    assert not target.exists()


def test_a_larger_group_of_duplicates_comes_first(tmp_path: Path) -> None:
    inputs = small_build.write(tmp_path)
    shard = inputs["dropped"][2] / "00000.parquet"
    table = pq.read_table(shard).to_pylist()
    for row in table[:5]:
        row["duplicate_of"] = table[6]["id"]
    pq.write_table(pq.read_table(shard).from_pylist(table, pq.read_schema(shard)), shard)
    report.run(parameters(), **inputs, report=tmp_path / "index.html")

    largest, least_alike = Page(tmp_path / "index.html").text.split("The least alike")
    assert re.findall(r"(\d) copies", largest) == re.findall(r"(\d) copies", least_alike) == ["5", "2"]


def test_figures_of_other_stages_may_be_more_than_the_page_knows(inputs: dict[str, Any], tmp_path: Path) -> None:
    measured = []
    for path in inputs["measured"]:
        more = json.loads(path.read_text("utf-8")) | {"new": {"nested": {"deep": 0.125}}, "list": [1], "none": None}
        measured.append(tmp_path / path.name)
        measured[-1].write_text(json.dumps(more), "utf-8")
    report.run(parameters(), **inputs | {"measured": tuple(measured)}, report=tmp_path / "index.html")

    assert "new.nested.deep" in Page(tmp_path / "index.html").text
