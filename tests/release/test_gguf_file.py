"""A GGUF file holds the tokenizer piece by piece, and the rows of queries and keys where llama.cpp rotates them."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import sentencepiece

from stages.core.errors import HeadwaterError
from stages.core.params import check
from stages.release import compared_texts, gguf_architectures, gguf_file, gguf_vocabulary
from tests.release import tiny

SETTINGS = check(gguf_file.Settings, {"precisions": ["f32"], "tolerance": {"f32": 0}, "client": "transformers"}, "gguf")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "model"
    tiny.write_model(folder)
    return folder


@pytest.fixture(scope="module")
def written(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (variant,) = gguf_file.write(source, tmp_path_factory.mktemp("export"), SETTINGS, "tiny")
    return variant.files[0]


def test_every_piece_has_its_text_score_and_kind(source: Path, written: Path) -> None:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(source / "tokenizer.model"))
    fields = gguf.GGUFReader(written).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    kinds = [gguf.TokenType(kind) for kind in fields["tokenizer.ggml.token_type"].contents()]

    assert tokens == [processor.id_to_piece(token) for token in range(400)]
    assert fields["tokenizer.ggml.scores"].contents() == [processor.get_score(token) for token in range(400)]
    assert kinds[0] == gguf.TokenType.UNKNOWN
    assert set(kinds[1:8]) == {gguf.TokenType.CONTROL}
    assert [tokens[8 + byte] for byte in range(256)] == [f"<0x{byte:02X}>" for byte in range(256)]
    assert set(kinds[8:264]) == {gguf.TokenType.BYTE}
    assert set(kinds[264:]) == {gguf.TokenType.NORMAL}


def test_clients_find_how_to_begin_to_stop_and_to_chat(source: Path, written: Path) -> None:
    fields = gguf.GGUFReader(written).fields
    found = {key.removeprefix("tokenizer.ggml."): fields[key].contents() for key in fields if "ggml" in key}

    assert (found["model"], found["bos_token_id"], found["eos_token_id"], found["eot_token_id"]) == ("llama", 1, 2, 7)
    assert (found["add_bos_token"], found["add_eos_token"], found["add_space_prefix"]) == (True, False, False)
    assert fields["tokenizer.chat_template"].contents() == (source / "chat_template.jinja").read_text("utf-8")


@pytest.mark.parametrize("text", compared_texts.HOSTILE)
def test_the_file_alone_tokenizes_as_the_original(source: Path, written: Path, text: str) -> None:
    original = sentencepiece.SentencePieceProcessor(model_file=str(source / "tokenizer.model"))
    assert gguf_vocabulary.read(written)(text) == original.encode(text)


def test_rotation_of_neighbours_on_interleaved_rows_is_rotation_of_halves() -> None:
    heads, size = 3, 8
    generator = np.random.default_rng(1)
    weights, state = generator.normal(size=(heads * size, 5)), generator.normal(size=5)
    angle = generator.normal(size=size // 2)

    halves = (weights @ state).reshape(heads, 2, size // 2)
    expected = rotated(halves[:, 0], halves[:, 1], angle)
    pairs = (gguf_architectures.interleave(weights, heads) @ state).reshape(heads, size // 2, 2)
    found = rotated(pairs[..., 0], pairs[..., 1], angle)

    np.testing.assert_allclose(found, expected)


def rotated(first: np.ndarray, second: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return first * np.cos(angle) - second * np.sin(angle), second * np.cos(angle) + first * np.sin(angle)


def test_another_vocabulary_than_the_model_has_is_refused(source: Path, tmp_path: Path) -> None:
    tiny.write_model(tmp_path / "model")
    tiny.write_tokenizer(tmp_path / "model", vocab_size=390)
    with pytest.raises(HeadwaterError, match=r"has 390 pieces, the model's vocabulary 400"):
        gguf_file.write(tmp_path / "model", tmp_path, SETTINGS, "tiny")
