"""Encoding through gigatoken: the tokenizer's own ids, and the tokenizer itself where gigatoken does not know it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Regex, pre_tokenizers

from stages.text import byte_level, conversion, encoding, parity, tokenizers, vocabulary
from stages.text.tokenizers import BEGIN, CONTROL, END, Tokenizer
from tests.text import corpus


def sentencepiece() -> Tokenizer:
    return tokenizers.parse(vocabulary.learn(corpus.manual(60_000), 700, 0.9995, 16))


def bytes_() -> Tokenizer:
    return tokenizers.parse_fast(byte_level.learn(corpus.manual(60_000), 700, 16).to_str().encode())


@pytest.mark.parametrize("learn", [sentencepiece, bytes_])
def test_the_ids_are_the_tokenizers_own(learn: Callable[[], Tokenizer]) -> None:
    tokenizer = learn()
    encode = encoding.fast(tokenizer)
    texts = [text for _, text in parity.hostile()] + corpus.manual(200_000)
    for text in texts:
        assert np.asarray(encode(text)).tolist() == tokenizer.encode(text)
    assert min(np.asarray(encode("".join(CONTROL))).tolist()) >= len(CONTROL)


@pytest.mark.slow
def test_every_character_there_is_gives_the_tokenizers_own_ids() -> None:
    for tokenizer in (sentencepiece(), bytes_()):
        encode = encoding.fast(tokenizer)
        for first in range(0, 0x110000, 0x100):
            points = (point for point in range(first, first + 0x100) if not 0xD800 <= point < 0xE000)
            text = " ".join(f"a{chr(point)}b  {chr(point)}!" for point in points)
            assert np.asarray(encode(text)).tolist() == tokenizer.encode(text), hex(first)


def test_other_ids_are_found_and_the_text_named() -> None:
    other = tokenizers.parse(vocabulary.learn(corpus.manual(20_000), 400, 0.9995, 16))
    with pytest.raises(encoding.MismatchError, match="gigatoken encodes page one in another way"):
        encoding.agree(sentencepiece(), other.encode, "page one", "A tokenizer of fewer pieces")


@pytest.mark.parametrize(("words", "encoder"), [(byte_level.SPLIT, "gigatoken"), (r"\S+|\s+", "tokenizer")])
def test_a_tokenizer_that_gigatoken_refuses_encodes_for_itself(
    words: str, encoder: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fast = byte_level.learn(corpus.manual(60_000), 700, 16)
    split, spell = pre_tokenizers.Split(Regex(words), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)
    fast.pre_tokenizer = pre_tokenizers.Sequence([split, spell])
    conversion.save(fast, tmp_path)
    corpus.write(tmp_path / "documents", [corpus.HOSTILE, "", "Plain text."], shards=1)
    outputs = {"ids": tmp_path / "ids.npy", "documents": tmp_path / "lengths.parquet"}
    metrics = encoding.encode_shard(None, [tmp_path / "documents/00000.parquet", tmp_path / "tokenizer.json"], outputs)
    assert metrics["encoder"] == {encoder: 3}
    assert bool(metrics["compared"]) == (encoder == "gigatoken")
    assert ("gigatoken refuses the tokenizer" in capfd.readouterr().err) == (encoder == "tokenizer")
    tokenizer = tokenizers.load(tmp_path)
    expected = [[BEGIN, *tokenizer.encode(text), END] for text in (corpus.HOSTILE, "", "Plain text.")]
    assert np.load(outputs["ids"]).tolist() == [token for ids in expected for token in ids]
    assert pq.read_table(outputs["documents"]).column("tokens").to_pylist() == [len(ids) for ids in expected]
