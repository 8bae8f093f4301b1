"""What is shown of foreign text can neither steer a terminal nor reorder a page."""

import pytest

from stages.core.untrusted import shorten, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b]0;title\x07", "⟨U+001B⟩]0;title⟨U+0007⟩"),
        ("\x9b31m", "⟨U+009B⟩31m"),
        ("line\rover", "line⟨U+000D⟩over"),
        ("\u202egnp.exe", "⟨U+202E⟩gnp.exe"),
        ("\ud800", "⟨U+D800⟩"),
        ("👩‍👧 עברית é", "👩‍👧 עברית é"),
    ],
)
def test_controls_are_spelled_out_and_letters_are_kept(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_what_is_cut_off_is_marked() -> None:
    assert shorten("12345", 5) == "12345"
    assert shorten("123 456", 5) == "123…"
