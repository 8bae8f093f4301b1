"""Real prose in every language that the parameters know passes the rules; what is no running text does not."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stages import filter as stage
from stages.core.params import load
from stages.web.rules.annotation import Annotator, Task
from stages.web.rules.decision import Judge

FLORES = Path("../shared/data/evaluation/flores200_dev.parquet")
CODES = {
    "ar": "arb_Arab",
    "de": "deu_Latn",
    "en": "eng_Latn",
    "es": "spa_Latn",
    "fr": "fra_Latn",
    "ru": "rus_Cyrl",
    "zh": "zho_Hans",
}
PARAMS = replace(load(stage.Params, "filter"), languages=sorted(CODES))


@pytest.fixture(scope="module")
def sentences() -> dict[str, list[str]]:
    """997 sentences in each language."""
    if not FLORES.is_file():
        pytest.skip(f"needs {FLORES.name} in ../shared/data/evaluation")
    rows = pq.read_table(FLORES).to_pylist()
    return {code: [row["text"] for row in rows if row["language"] == name] for code, name in CODES.items()}


def reasons(pages: list[str], language: str) -> Counter[str | None]:
    documents = [
        {"url": "https://a.example/", "language": language, "language_score": 1.0, "text": page} for page in pages
    ]
    scores = Annotator(Task((), False, PARAMS.annotate), [])(documents)
    judge = Judge(PARAMS)
    empty = dict.fromkeys(("url_listed", "url_words", "url_soft_words", "quality"))
    return Counter(judge(document, {**empty, **row}) for document, row in zip(documents, scores, strict=True))


def pages(texts: list[str], page: Callable[[list[str]], str]) -> list[str]:
    return [page(texts[start : start + 15]) for start in range(0, len(texts) - 15, 15)]


@pytest.mark.parametrize("language", CODES)
def test_prose_passes(language: str, sentences: dict[str, list[str]]) -> None:
    prose = pages(sentences[language], lambda texts: "\n\n".join(" ".join(texts[n : n + 3]) for n in range(0, 15, 3)))
    assert reasons(prose, language) == {None: len(prose)}


@pytest.mark.parametrize("language", CODES)
def test_menus_and_word_lists_do_not(language: str, sentences: dict[str, list[str]]) -> None:
    def menu(texts: list[str]) -> str:
        """The beginnings of sentences, as entries of a list."""
        return "\n".join(f"{text[: 8 if language == 'zh' else 24].strip('.。')} –" for text in texts * 3)

    def repeated(texts: list[str]) -> str:
        return " ".join(random.Random(0).choices(texts[:4], k=30))

    for kind in (menu, repeated):
        found = pages(sentences[language], kind)
        assert reasons(found, language)[None] == 0
