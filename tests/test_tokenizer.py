"""The stage ``tokenizer``: what it leaves loads in transformers, and gives the ids of sentencepiece."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from stages import tokenizer
from stages.core.errors import HeadwaterError
from stages.core.fingerprint import file_hash
from stages.text import parity, tokenizers
from tests.text import corpus


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """120 KB of manual in two shards, in two languages by name."""
    return corpus.write(tmp_path / "documents", corpus.manual(120_000), languages=("en", "fr"))


@pytest.mark.usefixtures("profile")
def test_transformers_gives_the_ids_of_sentencepiece(documents: Path, tmp_path: Path) -> None:
    made = tmp_path / "tokenizer"
    tokenizer.run(corpus.PARAMS, documents=documents, tokenizer=made)
    ours, theirs = tokenizers.load(made), AutoTokenizer.from_pretrained(made)
    assert len(theirs) == ours.vocab_size == 600
    assert theirs.convert_ids_to_tokens(list(range(8))) == list(tokenizers.CONTROL)
    unseen = corpus.manual(300_000)[-8:]
    for text in [*unseen, corpus.HOSTILE, *(text for _, text in parity.hostile())]:
        ids = ours.encode(text)
        assert theirs.encode(text, add_special_tokens=False, split_special_tokens=True) == ids
        assert ours.decode(ids) == theirs.decode(ids) == text.replace("▁", " ")
    assert theirs("a b").input_ids == [tokenizers.BEGIN, *ours.encode("a b")]


@pytest.mark.usefixtures("profile")
def test_transformers_gives_the_ids_of_the_byte_level_kind(documents: Path, tmp_path: Path) -> None:
    made = tmp_path / "tokenizer"
    params = dataclasses.replace(corpus.PARAMS, kind="byte_level")
    metrics = tokenizer.run(params, documents=documents, tokenizer=made)
    assert metrics["gigatoken_agrees"] == metrics["checked"]["documents"] + len(list(parity.hostile()))
    ours, theirs = tokenizers.load(made), AutoTokenizer.from_pretrained(made)
    assert len(theirs) == ours.vocab_size == 600
    assert theirs.convert_ids_to_tokens(list(range(8))) == list(tokenizers.CONTROL)
    for text in [corpus.HOSTILE, *(text for _, text in parity.hostile())]:
        ids = ours.encode(text)
        assert theirs.encode(text, add_special_tokens=False, split_special_tokens=True) == ids
        assert ours.decode(ids) == theirs.decode(ids) == text
    assert theirs("a b").input_ids == [tokenizers.BEGIN, *ours.encode("a b")]
    asked = theirs.apply_chat_template([{"role": "user", "content": "Hello"}], tokenize=False)
    assert asked == "<s><|user|>Hello<|end|>"


@pytest.mark.usefixtures("profile")
def test_it_counts_and_measures(documents: Path, tmp_path: Path) -> None:
    metrics = tokenizer.run(corpus.PARAMS, documents=documents, tokenizer=tmp_path / "tokenizer")
    assert metrics["dropped"]["not_sampled"] > 0
    assert metrics["in"] == metrics["out"] + metrics["dropped"]["not_sampled"]
    assert set(metrics["bytes_per_token_by_language"]) == {"en", "fr"}
    assert 1.5 < metrics["bytes_per_token"] < 4
    assert metrics["checked"]["bytes"] <= 50_000


def test_the_same_documents_give_the_same_bytes(documents: Path, tmp_path: Path, profile: Path) -> None:
    made = []
    for again in range(2):
        made.append(tmp_path / f"tokenizer{again}")
        tokenizer.run(corpus.PARAMS, documents=documents, tokenizer=made[-1])
        shutil.rmtree(profile)
    assert file_hash(made[0]) == file_hash(made[1])


@pytest.mark.usefixtures("profile")
def test_a_vocabulary_that_the_text_cannot_fill_is_refused_with_the_largest_that_it_can(tmp_path: Path) -> None:
    documents = corpus.write(tmp_path / "documents", ["A page of few words, and few words make few pieces."])
    with pytest.raises(
        HeadwaterError, match=r"vocab_size 600 is more than the text supports: .* possible is (\d+)"
    ) as e:
        tokenizer.run(corpus.PARAMS, documents=documents, tokenizer=tmp_path / "tokenizer")
    largest = int(str(e.value).split("possible is ")[1].split(";")[0])
    params = dataclasses.replace(corpus.PARAMS, vocab_size=largest)
    assert tokenizer.run(params, documents=documents, tokenizer=tmp_path / "tokenizer")["vocab_size"] == largest


@pytest.mark.usefixtures("profile")
@pytest.mark.parametrize(
    ("changes", "texts", "message"),
    [
        ({"vocab_size": 264}, ["Some text."], "vocab_size 264 is too small: .* alone are 2"),
        ({"max_bytes": 3}, ["Some text."], "max_bytes is below the first"),
        ({}, [], "no training document"),
    ],
)
def test_what_cannot_be_learned_is_explained(
    changes: dict[str, Any], texts: list[str], message: str, tmp_path: Path
) -> None:
    documents = corpus.write(tmp_path / "documents", texts)
    with pytest.raises(HeadwaterError, match=message):
        tokenizer.run(
            dataclasses.replace(corpus.PARAMS, **changes), documents=documents, tokenizer=tmp_path / "tokenizer"
        )
