"""Byte-level BPE: the ids that the merges define, every character back, and no control token out of text."""

import itertools
import json

import pytest
import regex
from tokenizers import Tokenizer as Fast

from stages.core.errors import HeadwaterError
from stages.text import byte_level, parity, tokenizers
from stages.text.tokenizers import CONTROL, ByteLevel
from tests.text import corpus


@pytest.fixture(scope="module")
def learned() -> ByteLevel:
    """A tokenizer of 800 tokens."""
    return tokenizers.parse_fast(byte_level.learn(corpus.manual(80_000), 800, 16).to_str().encode())


def by_definition(fast: Fast, text: str) -> list[int]:
    """The ids by the definition: within each word, again and again the leftmost of the neighbours merged first."""
    described = json.loads(fast.to_str())["model"]
    rank = {tuple(pair): number for number, pair in enumerate(described["merges"])}
    spelled = byte_level.alphabet()
    ids = []
    for word in regex.findall(byte_level.SPLIT, text):
        pieces = [spelled[byte] for byte in word.encode()]
        while True:
            ranks = [rank.get(pair, len(rank)) for pair in itertools.pairwise(pieces)]
            best = min(ranks, default=len(rank))
            if best == len(rank):
                break
            place = ranks.index(best)
            pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
        ids += [described["vocab"][piece] for piece in pieces]
    return ids


def test_the_ids_are_those_that_the_merges_define(learned: ByteLevel) -> None:
    for text in [corpus.HOSTILE, corpus.manual(120_000)[-1], "Naïve café, 1234 numbers\t\n\n  and it's DON'T"]:
        assert learned.encode(text) == by_definition(learned.fast, text)


def test_every_text_comes_back_whole(learned: ByteLevel) -> None:
    for name, text in parity.hostile():
        assert learned.decode(learned.encode(text)) == text, name
    assert learned.decode(learned.encode("a ▁ b")) == "a ▁ b"


def test_ids_begin_with_control_tokens_and_bytes_and_text_gives_none_of_the_former(learned: ByteLevel) -> None:
    assert [learned.piece(token) for token in range(8)] == list(CONTROL)
    assert learned.encode("\n") == [8 + ord("\n")]
    assert learned.encode("A") == [8 + ord("A")]
    assert min(learned.encode(" ".join(CONTROL) + "".join(CONTROL))) >= len(CONTROL)


def test_a_page_full_of_control_tokens_teaches_none() -> None:
    texts = ["".join(CONTROL) * 200 + corpus.manual(20_000)[1]]
    hostile = tokenizers.parse_fast(byte_level.learn(texts, 400, 16).to_str().encode())
    assert min(hostile.encode("".join(CONTROL))) >= len(CONTROL)


def test_the_same_text_gives_the_same_merges_in_any_order() -> None:
    texts = corpus.manual(40_000)
    assert byte_level.learn(texts, 500, 16).to_str() == byte_level.learn(texts[::-1], 500, 16).to_str()


def test_pieces_are_no_longer_than_asked() -> None:
    longest = []
    for limit in (4, 16):
        made = tokenizers.parse_fast(byte_level.learn(corpus.manual(40_000), 500, limit).to_str().encode())
        longest.append(max(len(made.piece(token)) for token in range(tokenizers.FIRST_LEARNED, 500)))
    assert longest[0] <= 4 < longest[1] <= 16


@pytest.mark.parametrize(
    ("size", "message"), [(263, "too small: control tokens and bytes alone are 264"), (900, "largest possible is 2")]
)
def test_a_size_that_cannot_be_had_is_explained(size: int, message: str) -> None:
    with pytest.raises(HeadwaterError, match=message):
        byte_level.learn(["few words, few pieces"], size, 16)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": {"type": "BPE"}}'])
def test_a_damaged_file_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        tokenizers.parse_fast(content)
