"""Words come out as spaCy splits them, on which the thresholds of the rules were set."""

import time

import pytest

from stages.web.rules import segmentation


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        ("word", ["word"]),
        ("end.", ["end", "."]),
        ('"Quoted,"', ['"', "Quoted", ",", '"']),
        ("(see)", ["(", "see", ")"]),
        ("don't", ["do", "n't"]),
        ("we've", ["we", "'ve"]),
        ("user's", ["user", "'s"]),
        ("well-known", ["well", "-", "known"]),
        ("and/or", ["and/or"]),
        ("e.g.", ["e.g."]),
        ("(i.e.", ["(", "i.e."]),
        ("https://www.debian.org/doc/?a=b", ["https://www.debian.org/doc/?a=b"]),
        ("10km", ["10", "km"]),
        ("3.14", ["3.14"]),
        ("wait...", ["wait", "..."]),
        ("$5", ["$", "5"]),
        ("key=value", ["key", "=", "value"]),
        ("/etc/apt/sources.list.d", ["/etc", "/", "apt", "/", "sources.list.d"]),
    ],
)
def test_splits_english_as_spacy_does(piece: str, expected: list[str]) -> None:
    assert segmentation.split(piece, "en") == expected


@pytest.mark.parametrize(
    ("language", "line", "expected"),
    [
        ("de", "z.B. E-Mail-Adresse/Telefon, usw.", ["z.B.", "E-Mail-Adresse", "/", "Telefon", ",", "usw."]),
        (
            "fr",
            "L’homme qu'on aime, c'est-à-dire",
            ["L’", "homme", "qu'", "on", "aime", ",", "c'", "est", "-", "à", "-", "dire"],
        ),
        ("es", "¿Qué es? ¡Nada!", ["¿", "Qué", "es", "?", "¡", "Nada", "!"]),
        ("ru", "«Да», — сказал он.", ["«", "Да", "»", ",", "—", "сказал", "он", "."]),
        ("ar", "هل هذا صحيح؟ نعم، صحيح.", ["هل", "هذا", "صحيح", "؟", "نعم", "،", "صحيح", "."]),
        ("zh", "我们使用软件包管理器。", ["我们", "使用", "软件包", "管理器", "。"]),
        ("zh", "用C++编辑conf.d/1-a", ["用", "C++", "编辑", "conf", ".", "d", "/", "1", "-", "a"]),
        ("zh", "版本5.1.1有50%", ["版本", "5.1", ".", "1", "有", "50%"]),
        ("ja", "文字が words です。", ["文", "字", "が", "words", "で", "す", "。"]),
    ],
)
def test_splits_other_languages(language: str, line: str, expected: list[str]) -> None:
    (pieces,) = segmentation.pieces([line], language)
    assert [word for piece in pieces for word in segmentation.split(piece, language)] == expected


@pytest.mark.parametrize("piece", ["(" * 200_000, ")" * 200_000, "a." * 100_000, "a'" * 100_000, "漢" * 200_000])
@pytest.mark.parametrize("language", ["en", "fr", "zh"])
def test_hostile_pieces_take_no_longer(piece: str, language: str) -> None:
    start = time.process_time()
    for part in segmentation.pieces([piece], language)[0]:
        assert "".join(segmentation.split(part, language)) == part
    assert time.process_time() - start < 5
