import random

import pytest

from stages.web.pages import charset

RUSSIAN = "Быстрая коричневая лисица прыгает через ленивую собаку и убегает в лес."
JAPANESE = "素早い茶色の狐がのろまな犬を飛び越えて、森の中へ走って行きました。"
KOREAN = "빠른 갈색 여우가 게으른 개를 뛰어넘어 숲속으로 달려갑니다."
CHINESE = "敏捷的棕色狐狸跳过了懒惰的狗，然后跑进了森林。"
FRENCH = "Là-bas, le garçon naïf rêvait d’un été sans fin, où l’œuvre s’achève."


@pytest.mark.parametrize(
    ("text", "encoding", "claimed"),
    [
        (RUSSIAN, "utf-8", "windows-1251"),  # the claim is wrong
        (RUSSIAN, "windows-1251", ""),
        (RUSSIAN, "windows-1251", "utf-8"),  # the claim is wrong
        (RUSSIAN, "koi8-r", "koi8-r"),
        (JAPANESE, "shift_jis", ""),
        (JAPANESE, "euc_jp", "x-euc-jp"),
        (JAPANESE, "iso-2022-jp", "iso-2022-jp"),
        (FRENCH, "windows-1252", "iso-8859-1"),
        (FRENCH, "utf-16", ""),
        (FRENCH, "utf-8-sig", "latin-1"),
        (FRENCH, "utf-16-le", "utf-16le"),
        ("Desde entonces, el brasileño ha jugado para el equipo.", "windows-1252", ""),
        (KOREAN, "euc-kr", ""),
        (KOREAN, "euc-kr", "utf-8"),
        # more than the standards of these names have, as browsers read them
        ("第①章 ㈱日立 Ⅱ～Ⅲ", "cp932", "shift_jis"),
        ("第①章 ㈱日立", "euc_jis_2004", "euc-jp"),
        ("똠방각하 펲시", "cp949", "euc-kr"),
        ("香港嘅 嚟咗 啲", "big5hkscs", "big5"),
        ("朱镕基 字", "gb18030", "gb2312"),
        ("ไทย “ก”", "cp874", "tis-620"),
    ],
)
def test_text_is_read_in_the_encoding_it_is_in(text: str, encoding: str, claimed: str) -> None:
    assert charset.decode((text * 3).encode(encoding), claimed) == text * 3


@pytest.mark.parametrize("claim", ['<meta charset="iso-8859-5">', '<?xml version="1.0" encoding="iso-8859-5"?>'])
def test_the_page_may_name_its_encoding(claim: str) -> None:
    page = f"{claim}<p>Лиса"  # too little to guess by
    assert charset.decode(page.encode("iso-8859-5"), "") == page


def test_a_broken_character_does_not_spoil_a_page_in_utf8() -> None:
    body = (FRENCH * 10).encode()
    assert charset.decode(body[:-1] + b"\xc3", "utf-8").startswith(FRENCH * 9)


@pytest.mark.parametrize(
    ("text", "encoding"), [(CHINESE, "gbk"), (KOREAN, "euc-kr"), (JAPANESE, "euc-jp"), (RUSSIAN, "koi8-r")]
)
@pytest.mark.parametrize("broken", [slice(0, 0), slice(20, 20)], ids=["cut off", "one byte too many"])
def test_a_broken_character_does_not_spoil_a_page_in_another_encoding(text: str, encoding: str, broken: slice) -> None:
    body = bytearray((text * 10).encode(encoding)[:-1])
    body[broken] = b"\xff"[: broken.start]
    assert charset.decode(bytes(body), encoding).count(text[15:-3]) >= 9


@pytest.mark.parametrize(
    ("text", "encoding"), [(RUSSIAN, "windows-1251"), (FRENCH, "windows-1252"), (KOREAN, "euc-kr")]
)
def test_little_text_among_much_markup_is_no_utf8_because_it_says_so(text: str, encoding: str) -> None:
    page = f"<div class=layout>{'<div></div>' * 20_000}<p>{text}</p>"
    assert charset.decode(page.encode(encoding), "utf-8") == page


def test_noise_never_raises() -> None:
    rng = random.Random(1)
    for claimed in ("", "utf-8", "utf-7", "nonsense", "iso-2022-jp", "utf-16", "big5", "hz-gb-2312", "rot13", "base64"):
        for size in (0, 1, 2, 3, 1000):
            assert isinstance(charset.decode(rng.randbytes(size), claimed), str)


@pytest.mark.parametrize("encoding", ["latin-1", "windows-1252"])
def test_text_that_was_decoded_wrongly_is_mended_where_that_is_certain(encoding: str) -> None:
    german = "Über die Brücke führt ein schöner Weg."
    misread = german.encode().decode(encoding, "replace")
    assert charset.mended(f"# Kept\n{misread}\nÂ© or Ã, who knows") == f"# Kept\n{german}\n© or Ã, who knows"


def test_cyrillic_that_was_decoded_wrongly_is_mended_too() -> None:
    misread = RUSSIAN.encode().decode("windows-1251")
    assert charset.mended(f"# Рамки\n{misread}\nи") == f"# Рамки\n{RUSSIAN}\nи"


@pytest.mark.parametrize(
    "text", [FRENCH, RUSSIAN, RUSSIAN.upper(), "Ó MÃE, Â", "naïve café à la carte – “ça va”", "PÃO DE AÇÚCAR"]
)
def test_text_that_is_right_is_left_alone(text: str) -> None:
    assert charset.mended(text) == text
