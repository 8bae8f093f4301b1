"""What a model repeats is found wherever it stands in the training data, and named with its page."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from stages.core.errors import HeadwaterError
from stages.core.tokens import TokenShards
from stages.scoring import memorisation, toxicity, verbatim
from stages.scoring.generation import continue_tokens
from stages.scoring.likelihood import Scorer, Windows
from stages.scoring.memorisation import Continued, Memorisation
from tests import packed_tokens, small_model

WINDOWS = Windows(overlap=0.0, batch_tokens=64)


def test_every_window_is_found_and_nothing_else(tmp_path: Path) -> None:
    generator = random.Random(1)
    documents = [(f"d{number}", [generator.randrange(8, 12) for _ in range(50)]) for number in range(40)]
    packed = TokenShards(packed_tokens.write(tmp_path / "pack", documents))
    texts = [[generator.randrange(8, 12) for _ in range(40)] for _ in range(5)]
    texts += [[9] * 5 + documents[33][1][20:33] + [9] * 5, documents[2][1][:7], [3] * 20]
    for window in (1, 2, 5, 6, 12):
        expected = [
            {
                start: name
                for start in range(len(text) - window + 1)
                if (name := _first(documents, text[start : start + window]))
            }
            for text in texts
        ]
        assert verbatim.search(packed, texts, window) == expected
        assert any(expected[:5]) == (window < 7)
    assert verbatim.search(packed, texts, small_model.CONTEXT + 2) == [{}] * len(texts)


def _first(documents: Sequence[tuple[str, list[int]]], wanted: list[int]) -> str:
    for name, ids in documents:
        if any(ids[place : place + len(wanted)] == wanted for place in range(len(ids) - len(wanted) + 1)):
            return name
    return ""


def test_what_a_model_repeats_is_named_with_its_page(model: Path, profile: Path, tmp_path: Path) -> None:
    scorer = Scorer(model, WINDOWS)
    texts = [small_model.document(number, ("en", "de")[number % 2])["text"] for number in range(4)]
    prompts = [scorer.encode(text)[3:15] for text in texts]
    written = continue_tokens(scorer, prompts, 16)
    known = [[*prompt, *ids] for prompt, ids in zip(prompts, written, strict=True)]
    # What the model goes on with is made training data, but for the German documents, which go on otherwise.
    for ids in known[1::2]:
        ids[12:] = ids[:11:-1]
    rows = [small_model.document(100 + number, text=scorer.tokenizer.decode(ids)) for number, ids in enumerate(known)]
    small_model.write(tmp_path / "training" / "00000.parquet", rows)
    packed = packed_tokens.write(tmp_path / "pack", [(row["id"], ids) for row, ids in zip(rows, known, strict=True)])
    heldout = small_model.write(tmp_path / "heldout.parquet", [small_model.document(99, "de")])
    asked = Memorisation(seed=1, passages=4, prompt=12, max_tokens=16, window=16)
    found = []
    for batch_tokens in (1, 10**4):
        continued = Continued(memorisation=asked, windows=Windows(overlap=0.0, batch_tokens=batch_tokens))
        inputs = [model, packed, tmp_path / "training", heldout]
        memorisation.measure(continued, inputs, {"figures": tmp_path / "figures.json"})
        found.append(json.loads((tmp_path / "figures.json").read_text("utf-8")))
    assert found[0] == found[1]
    training, heldout_figures = found[0]["training"], found[0]["heldout"]
    documents = [(row["url"], ids) for row, ids in zip(rows, known, strict=True)]
    expected = sorted((url, scorer.tokenizer.decode(ids)) for ids in written if (url := _first(documents, ids)))
    assert len(expected) == 2
    assert sorted((text["url"], text["text"]) for text in training["texts"]) == expected
    assert (training["passages"], training["repeated"]["count"]) == (4, len(expected))
    assert training["listed_words"]["count"] == 0
    assert (heldout_figures["passages"], heldout_figures["repeated"]["count"]) == (4, 0)


def test_tokens_of_another_vocabulary_are_refused(model: Path, profile: Path, tmp_path: Path) -> None:
    asked = Memorisation(seed=1, passages=1, prompt=8, max_tokens=8, window=8)
    continued = Continued(memorisation=asked, windows=WINDOWS)
    other = packed_tokens.write(tmp_path / "other", [("a", [5] * 20), ("b", [6] * 20)], vocab_size=300)
    with pytest.raises(HeadwaterError, match=r"vocabulary of 300 tokens, and that of .* has 512: `dvc repro pack`"):
        memorisation.measure(continued, [model, other, tmp_path, tmp_path], {"figures": tmp_path / "figures.json"})


def test_a_listed_word_is_a_whole_word_of_the_language() -> None:
    assert toxicity.listed("Well, PISSED at it.", "en") == ["pissed"]
    assert toxicity.listed("Scunthorpe, assess the class; spices, apprentices.", "en") == []
    assert toxicity.listed("pissed", "xx") == []
    assert toxicity.listed("", "ja") == []


def test_nothing_of_many_is_not_nothing_at_all() -> None:
    assert memorisation.share(0, 0)["share"] is None
    for count, low, high in ((0, 0, 0.037), (50, 0.404, 0.596), (100, 0.963, 1)):
        found = memorisation.share(count, 100)
        assert found["low"] == pytest.approx(low, abs=0.001)
        assert found["high"] == pytest.approx(high, abs=0.001)
