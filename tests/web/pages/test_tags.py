import numpy as np
import pytest

from stages.web.pages import tags


def read(page: str) -> list[tuple[str, bool, str]]:
    """Of every tag its name as it is told apart, whether it closes, and what stands behind the name."""
    text = page.encode() + b"<" * (tags.WINDOW + 2)
    opening = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("<"))[: -tags.WINDOW - 2]
    found, closes, named = tags.tags_at(np.frombuffer(text, np.uint8), opening)
    ends = [text.index(b">", at) for at in opening.tolist()]
    behind = [text[begin:end].decode("utf-8", "ignore") for begin, end in zip(named.tolist(), ends, strict=True)]
    return [(tags.NAMES[tag], bool(close), rest) for tag, close, rest in zip(found, closes, behind, strict=True)]


@pytest.mark.parametrize("name", tags.NAMES)
def test_every_name_is_found(name: str) -> None:
    page = f'<{name} class="x"></{name}><{name}>'
    assert read(page) == [(name, False, ' class="x"'), (name, True, ""), (name, False, "")]


@pytest.mark.parametrize("name", ["x-widget", "sectio", "sections", "blockquotes", "no", "h7"])
def test_what_only_resembles_a_name_is_unknown(name: str) -> None:
    assert read(f"<{name} class=x>") == [("unknown", False, " class=x")]


@pytest.mark.parametrize("length", range(1, 20))
def test_names_of_any_length_and_script(length: int) -> None:
    name = "x" + "é" * length
    ((found, closes, rest),) = read(f"<{name} class=x>")
    assert (found, closes) == ("unknown", False)
    assert f"{name} class=x".endswith(rest)
    assert rest.endswith(" class=x")


def test_each_name_stands_once() -> None:
    assert len(tags.NAMES) == len(set(tags.NAMES)) == len(tags.TAG)
