"""Models that a user brings give one score for each text, whatever stands beside it."""

from pathlib import Path

import pytest

from stages.core.errors import HeadwaterError
from stages.web.rules.given_models import FastTextModel, TransformersModel
from stages.web.rules.page import Page
from stages.web.rules.words import Vocabulary

PAGES = [Page(text, Vocabulary("en")) for text in ("a good text", "a bad text", "a good text\n\n" + "and more " * 90)]


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
    fasttext = pytest.importorskip("fasttext", reason="needs the module fasttext (fasttext-numpy2-wheel)")
    if not hasattr(fasttext, "train_supervised"):
        pytest.skip("this module fasttext cannot train the model that the test needs")
    examples = tmp_path / "examples.txt"
    examples.write_text("__label__good a good text\n__label__bad a bad text\n" * 50, "utf-8")
    fasttext.train_supervised(str(examples), epoch=50, verbose=0, thread=1).save_model(str(tmp_path / "m.bin"))
    good, bad, _ = FastTextModel(tmp_path / "m.bin", "good")(PAGES)
    assert good > 0.9 > 0.1 > bad
    assert FastTextModel(tmp_path / "m.bin", "no such label")(PAGES[:1]) == [0]
    with pytest.raises(HeadwaterError, match=r"none\.bin"):
        FastTextModel(tmp_path / "none.bin", "good")
