"""The proof that two tokenizers agree fails where they do not."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Fast
from tokenizers import normalizers

from stages.core.errors import HeadwaterError
from stages.text import conversion, parity, tokenizers, vocabulary
from stages.text.tokenizers import SentencePiece
from tests.text import corpus


@pytest.fixture(scope="module")
def learned() -> SentencePiece:
    """A tokenizer of 600 tokens."""
    return tokenizers.parse(vocabulary.learn(corpus.manual(50_000), 600, 0.9995, 16))


def test_the_hostile_texts_pass(learned: SentencePiece) -> None:
    parity.prove(learned, conversion.convert(learned), parity.hostile())


def test_a_lost_merge_is_found_and_the_text_named(learned: SentencePiece) -> None:
    state = json.loads(conversion.convert(learned).to_str())
    del state["model"]["merges"][40]
    text = "".join(learned.piece(token) for token in range(264, 600)).replace("▁", " ")
    with pytest.raises(HeadwaterError, match=r"page one: the tokenizer gives \[.* at token "):
        parity.prove(learned, Fast.from_str(json.dumps(state)), [("page one", text)])


def test_text_that_does_not_come_back_is_found(learned: SentencePiece) -> None:
    fast = conversion.convert(learned)
    fast.decoder = None
    with pytest.raises(HeadwaterError, match="page one: the fast tokenizer does not give the text back"):
        parity.prove(learned, fast, [("page one", "two words")])


def test_another_normalisation_is_found(learned: SentencePiece) -> None:
    fast = conversion.convert(learned)
    fast.normalizer = normalizers.Sequence([normalizers.NFKC(), fast.normalizer])
    with pytest.raises(HeadwaterError, match="page one: the tokenizer gives"):
        parity.prove(learned, fast, [("page one", "ﬁne")])


def test_control_tokens_are_not_read_from_text(learned: SentencePiece) -> None:
    ids = learned.encode("".join(tokenizers.CONTROL))
    assert min(ids) >= len(tokenizers.CONTROL)
    assert learned.decode(ids) == "".join(tokenizers.CONTROL)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x0a\x07\x0a\x03abc"])
def test_a_damaged_model_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(HeadwaterError, match=r"tokenizer\.model: not a tokenizer of this project"):
        tokenizers.load(tmp_path)
