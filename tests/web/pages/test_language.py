import os
import platform
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from stages.web.pages import language
from tests.conftest import ROOT

FLORES = ROOT / ".." / "shared" / "data" / "evaluation" / "flores200_dev.parquet"

ENGLISH = "Every morning the baker kneads the dough before the village wakes up."
GERMAN = "Jeden Morgen knetet der Bäcker den Teig, bevor das Dorf aufwacht."
FRENCH = "Chaque matin, le boulanger pétrit la pâte avant que le village ne se réveille."
JAPANESE = "毎朝、村が目を覚ます前にパン屋は生地をこねます。"


@pytest.fixture(scope="module")
def identify() -> language.Identifier:
    return language.Identifier()


@pytest.fixture(scope="module")
def reference() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def by_py3langid(reference: LanguageIdentifier, text: str, windows: int, characters: int) -> tuple[str, float]:
    scores: Counter[str] = Counter()
    for window in language._spread(text, windows, characters):
        scores.update({code: float(score) for code, score in reference.rank(window)})
    of = {member: whole for whole, members in language._MEMBERS.items() for member in members}
    wholes: Counter[str] = Counter()
    for code, score in scores.items():
        wholes[of.get(code, code)] += score
    whole = max(wholes, key=lambda code: (wholes[code], code))
    members = {code for code in scores if of.get(code, code) == whole}
    return max(members, key=lambda code: (scores[code], code)), wholes[whole] / scores.total()


def assert_same(told: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    assert [code for code, _ in told] == [code for code, _ in expected]
    assert [score for _, score in told] == pytest.approx([score for _, score in expected], abs=2e-4)


def test_languages_are_told_apart(identify: language.Identifier) -> None:
    told = identify([ENGLISH, GERMAN, FRENCH, JAPANESE], 5, 300)
    assert [code for code, _ in told] == ["en", "de", "fr", "ja"]
    assert all(0.5 < score <= 1 for _, score in told)


def test_code_does_not_count(identify: language.Identifier) -> None:
    code = "```\n" + "for (int i = 0; i < length; i++) { return array[i]; }\n" * 50 + "```\n"
    text = f"Der Bäcker knetet den Teig.\n\n{code}\nDann wartet er eine Stunde."
    assert identify([text], 5, 300)[0][0] == "de"


def test_a_page_that_is_half_translated_is_certain_of_neither_language(identify: language.Identifier) -> None:
    english, german = (ENGLISH + " ") * 20, (GERMAN + " ") * 30
    mixed, pure = identify([english + german, english], 4, 200)
    assert mixed[0] in ("en", "de")
    assert mixed[1] < 0.8
    assert pure[1] > 0.95


def test_odd_texts_are_told_as_py3langid_tells_them(
    identify: language.Identifier, reference: LanguageIdentifier
) -> None:
    draw = random.Random(0)
    noise = ["".join(chr(draw.randrange(1, 0x3000)) for _ in range(draw.randrange(1, 700))) for _ in range(40)]
    texts = [" ", "x", "12 345", "\ud800 broken", "\U0010ffff" * 400, "ALL IN CAPITALS", "e\u0301te\u0301", *noise]
    assert_same(identify(texts, 3, 100), [by_py3langid(reference, text, 3, 100) for text in texts])


@pytest.mark.skipif(not FLORES.exists(), reason="../shared/data/evaluation is not here")
def test_thirty_languages_are_told_as_py3langid_tells_them(
    identify: language.Identifier, reference: LanguageIdentifier
) -> None:
    table = pq.read_table(FLORES)
    by_language: dict[str, list[str]] = {}
    for code, text in zip(table["language"].to_pylist(), table["text"].to_pylist(), strict=True):
        by_language.setdefault(code, []).append(text)
    texts = [
        " ".join(own[start : start + size])
        for own in by_language.values()
        for start, size in ((0, 1), (9, 4), (30, 20))
    ]
    assert_same(identify(texts, 5, 300), [by_py3langid(reference, text, 5, 300) for text in texts])


def test_what_was_unpacked_tells_the_same_and_no_text_depends_on_its_neighbours(
    identify: language.Identifier, tmp_path: Path
) -> None:
    files = {label: tmp_path / f"{label}.npy" for label in language.LABELS}
    language.unpack(None, [language.model_file()], files)
    unpacked = language.Identifier(list(files.values()))
    texts = [ENGLISH * 9, GERMAN, JAPANESE * 40, FRENCH * 3] * 20
    together = identify(texts, 5, 300)
    assert [told for text in texts for told in unpacked([text], 5, 300)] == together


TOLD = """
import random
from stages.web.pages import language

draw = random.Random(1)
words = [bytes(draw.choices(b"aeinorst", k=draw.randrange(2, 9))).decode() for _ in range(400)]
texts = [" ".join(draw.choices(words, k=60)) for _ in range(4000)]
print(language.Identifier()(texts, 3, 100))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names kernels of x86-64")
def test_scores_are_the_same_whatever_the_processor_adds_with() -> None:
    told = []
    for kernels in ("Nehalem", "Haswell"):
        environment = {**os.environ, "OPENBLAS_CORETYPE": kernels, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", TOLD]
        told.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert told[0] == told[1]
    assert told[0].count("(") == 4000


INDONESIAN = "Setiap pagi tukang roti menguleni adonan sebelum seluruh desa bangun, lalu menunggu satu jam di dapur."
CHINESE = "每天早上，面包师在村子醒来之前揉面，然后等一个小时。"


def test_a_language_is_certain_though_it_has_near_relatives(identify: language.Identifier) -> None:
    (indonesian, certain), (chinese, as_certain) = identify([INDONESIAN, CHINESE], 5, 300)
    assert (indonesian, chinese) == ("id", "zh")
    assert min(certain, as_certain) > 0.95
