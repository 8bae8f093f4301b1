"""What is shown of text from the web stays text, and what is drawn can be read back."""

import base64
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import artifacts, charts, samples
from flows.graph import Plot


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("dropped.too_short", "dropped.too_short"),
        ("data/crawl/warcs", "data/crawl/warcs"),
        ("<img src=x onerror=alert(1)>", r"\<img src\=x onerror\=alert\(1\)\>"),
        ("[a](javascript:b)", r"\[a\]\(javascript\:b\)"),
        ("**bold** `code` ~~no~~", r"\*\*bold\*\* \`code\` \~\~no\~\~"),
        ("__init__.py", r"\_\_init\_\_\.py"),
        ("http://www.example.org", r"http\:\/\/www\.example.org"),
        ("a\n# b", r"a \# b"),
        ("größe €", "größe €"),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    assert artifacts.escape(text) == escaped


def test_keys_are_such_as_prefect_allows() -> None:
    assert artifacts.key("train@big_model", "files") == "train-big-model-files"


@pytest.mark.parametrize("bars", [False, True])
def test_a_chart_is_an_image_whatever_the_names_in_it(tmp_path: Path, bars: bool) -> None:
    path = tmp_path / "log.csv"
    path.write_text("x,y\n1,<script>\n2,nan\n" if bars else f"x,y\n1,3\n2,{math.inf}\n3,\n4,2\n", "utf-8")
    image = charts.image(Plot("p", path, "x", "y", "<b>&", "x", "y", bars))
    assert image is not None
    drawing = ElementTree.fromstring(base64.b64decode(image.partition(",")[2]))
    texts = [element.text for element in drawing.iter() if element.tag.endswith("text")]
    assert "<b>&" in str(texts[0])
    assert ("<script>" in texts) is bars


def test_nothing_to_draw_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("x,y\n", "utf-8")
    assert charts.image(Plot("p", tmp_path / "log.csv", "x", "y", "t", "x", "y", False)) is None


def test_a_sample_shows_documents_why_they_were_dropped_and_what_a_model_wrote(tmp_path: Path) -> None:
    kept, dropped, scored, evaluated = (tmp_path / name for name in ("kept", "dropped", "scored", "evaluate"))
    for folder in (kept, dropped, scored, evaluated):
        folder.mkdir()
    texts = ["<script>alert(1)</script>\x1b[31m", "two", "three", "four"]
    pq.write_table(pa.table({"url": pa.array([], pa.string()), "text": pa.array([], pa.string())}), kept / "0.parquet")
    pq.write_table(pa.table({"url": ["u"] * 4, "text": texts}), kept / "1.parquet")
    pq.write_table(pa.table({"url": ["u"], "reason": ["too_short"], "text": ["x" * 1000]}), dropped / "0.parquet")
    pq.write_table(pa.table({"bits": [1.0]}), scored / "0.parquet")
    (evaluated / "samples.jsonl").write_text('{"prompt": "Once", "text": "upon", "url": "v"}\n', "utf-8")
    rows = list(samples.of([kept, dropped, scored, evaluated, tmp_path / "model.bin"]))
    assert [row["text"][:9] for row in rows[:3]] == ["<script>a", "two", "three"]
    assert rows[0]["text"].endswith("⟨U+001B⟩[31m")
    assert rows[3] == {"of": dropped.as_posix(), "url": "u", "reason": "too_short", "text": "x" * 119 + "…"}
    assert rows[4:] == [{"of": evaluated.as_posix(), "url": "v", "reason": "", "text": "Once → upon"}]
