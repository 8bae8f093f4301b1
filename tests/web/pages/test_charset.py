import random

import pytest

from stages.web.pages import charset

RUSSIAN = "Быстрая коричневая лисица прыгает через ленивую собаку и убегает в лес."
JAPANESE = "素早い茶色の狐がのろまな犬を飛び越えて、森の中へ走って行きました。"
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
    ],
)
def test_text_is_read_in_the_encoding_it_is_in(text: str, encoding: str, claimed: str) -> None:
    assert charset.decode((text * 3).encode(encoding), claimed) == text * 3


def test_the_page_may_name_its_encoding() -> None:
    page = f'<html><head><meta charset="koi8-r"></head><body>{RUSSIAN}</body></html>'
    assert charset.decode(page.encode("koi8-r"), "") == page


def test_a_broken_character_does_not_spoil_a_page_in_utf8() -> None:
    body = (FRENCH * 10).encode()
    assert charset.decode(body[:-1] + b"\xc3", "utf-8").startswith(FRENCH * 9)


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


@pytest.mark.parametrize("text", [FRENCH, RUSSIAN, "Ó MÃE, Â", "naïve café à la carte – “ça va”", "PÃO DE AÇÚCAR"])
def test_text_that_is_right_is_left_alone(text: str) -> None:
    assert charset.mended(text) == text
