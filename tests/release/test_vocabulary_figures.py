"""The figures of a tokenizer are told of both kinds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stages.core.errors import HeadwaterError
from stages.release import vocabulary_figures
from tests import packed_tokens
from tests.release import tiny

DOCUMENTS = [{"text": "The server returns rows.\n", "language": "en", "url": "https://example.org/"}]


@pytest.mark.parametrize("write", [tiny.write_tokenizer, tiny.write_byte_level_tokenizer])
def test_both_kinds_are_described(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path)
    tokens = packed_tokens.write(tmp_path / "pack", [("a", [399, 399, 398]), ("b", [399])], vocab_size=400)
    found = vocabulary_figures.describe(tmp_path, DOCUMENTS, tokens, pieces=5, characters=100, counted=1000)
    assert found.size == 400
    assert "".join(found.sample) == "The server returns rows."
    assert " server" in found.sample
    (english,) = found.fertility
    assert english.language == "en"
    assert english.bytes_per_token == pytest.approx(25 / (english.tokens_per_word or 0) / 4)
    assert english.single_bytes == 0
    assert found.use.tokens == 4
    assert [share for _, share in found.use.frequent] == [0.75, 0.25]
    assert len(found.longest) == 5
    assert all(" " not in piece and "Ġ" not in piece for piece in found.longest)


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match="no tokenizer here"):
        vocabulary_figures.describe(tmp_path, DOCUMENTS, tmp_path, pieces=5, characters=100, counted=10)
