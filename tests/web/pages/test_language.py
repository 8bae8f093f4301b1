import pytest

from stages.web.pages import language


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Every morning the baker kneads the dough before the village wakes up.", "en"),
        ("Jeden Morgen knetet der Bäcker den Teig, bevor das Dorf aufwacht.", "de"),
        ("Chaque matin, le boulanger pétrit la pâte avant que le village ne se réveille.", "fr"),
        ("毎朝、村が目を覚ます前にパン屋は生地をこねます。", "ja"),
    ],
)
def test_languages_are_told_apart(text: str, code: str) -> None:
    found, score = language.identify(text, 5, 300)
    assert found == code
    assert 0.5 < score <= 1


def test_code_does_not_count() -> None:
    code = "```\n" + "for (int i = 0; i < length; i++) { return array[i]; }\n" * 50 + "```\n"
    assert language.identify(f"Der Bäcker knetet den Teig.\n\n{code}\nDann wartet er eine Stunde.", 5, 300)[0] == "de"


def test_a_page_that_is_half_translated_is_certain_of_neither_language() -> None:
    english = "Every morning the baker kneads the dough before the village wakes up. " * 20
    german = "Jeden Morgen knetet der Bäcker den Teig, bevor das Dorf aufwacht. " * 30
    found, score = language.identify(english + german, 4, 200)
    assert found in ("en", "de")
    assert score < 0.8
    assert language.identify(english, 4, 200)[1] > 0.95
