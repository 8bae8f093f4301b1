"""The list of pages to take down: what a line can be, and what it matches."""

from pathlib import Path

import pytest

from stages.core import takedown
from stages.core.errors import HeadwaterError
from tests.conftest import TAKEDOWN


def _read(folder: Path, text: str) -> takedown.Takedown:
    path = folder / "takedown.txt"
    path.write_text(text, "utf-8")
    return takedown.read(path)


def test_the_projects_own_list_names_nothing() -> None:
    assert not takedown.read(TAKEDOWN).pages


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("https://example.org/a", "http://EXAMPLE.org:80/a#part"),
        ("https://user@example.org/a?b=1", "https://example.org/a?b=1"),
        ("http://example.org", "https://example.org/"),
        ("2026-01-31 https://example.org/a#b  # asked for", "https://example.org/a"),
        ("https://example.org/größe?q=ü", "https://example.org/gr%C3%B6%c3%9fe?q=%C3%BC"),
        ("https://example.org/gr%c3%b6%C3%9Fe/%7Ea", "https://example.org/größe/~a"),
        ("example.org", "https://www.example.org/a"),
        ("*.Example.org  # all of it", "https://example.org/a"),
        ("https://bücher.example/a", "https://xn--bcher-kva.example/a"),
        ("https://xn--bcher-kva.example:8080/a", "https://BÜCHER.example:8080/a"),
        ("bücher.example", "https://www.xn--bcher-kva.example/"),
        ("*.xn--bcher-kva.example", "https://www.Bücher.example/"),
        ("2026-01-31 " + "ab" * 16, "https://elsewhere.org/"),
    ],
)
def test_a_line_names_a_page(tmp_path: Path, line: str, url: str) -> None:
    assert _read(tmp_path, f"# why\n\n{line}\n").names(url, "ab" * 16)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/b",
        "https://example.org/%61%2Fb",
        "https://example.org/a%",
        "https://example.org/a?b=1",
        "https://notexample.org/a",
        "a",
        "https://-ü.example/a",
        "http://[/",
    ],
)
def test_other_pages_stay(tmp_path: Path, url: str) -> None:
    assert not _read(tmp_path, "https://example.org/a\nexample.com\n").names(url, "ab" * 16)


@pytest.mark.parametrize(
    "line",
    [
        "example",
        "https://",
        "ab" * 15,
        "two words",
        "2026-13-01 example.org",
        "a.b/c",
        "\x1b[2J",
        "ü\u2028.example",
        "-ü.example",
    ],
)
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(HeadwaterError, match=r"takedown\.txt: line 2: .* is no URL") as error:
        _read(tmp_path, f"# why\n{line}\n")
    assert "\x1b" not in str(error.value)


def test_a_missing_list_says_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match="an empty file takes nothing down"):
        takedown.read(tmp_path / "takedown.txt")
