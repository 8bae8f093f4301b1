"""Token shards: rows by number, and from a row back to its documents."""

import json
from pathlib import Path

import numpy as np
import pytest

from stages.core import tokens
from stages.core.errors import HeadwaterError
from stages.core.tokens import Span, TokenShards


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards of rows of four: a document over two rows, one with padding behind it, and one in the second shard."""
    first = np.array([[1, 10, 11, 12], [13, 2, 3, 3]], dtype=np.uint16)
    second = np.array([[1, 20, 2, 3]], dtype=np.uint16)
    for name, rows, spans in (("00000.npy", first, [Span("a", 0, 6, 0)]), ("00001.npy", second, [Span("b", 0, 3, 0)])):
        tokens.write(tmp_path / name, tmp_path / tokens.index_name(name), rows, spans)
    shards = [{"file": "00000.npy", "rows": 2}, {"file": "00001.npy", "rows": 1}]
    description = {"context": 3, "vocab_size": 300, "pad_id": 3, "tokens": 9, "shards": shards}
    (tmp_path / "pack.json").write_text(json.dumps(description), "utf-8")
    return tmp_path


def test_rows_are_numbered_through_the_shards_and_come_in_the_order_asked_for(folder: Path) -> None:
    shards = TokenShards(folder)
    assert len(shards) == 3
    assert shards.rows([2, 0, 2]).tolist() == [[1, 20, 2, 3], [1, 10, 11, 12], [1, 20, 2, 3]]


def test_a_row_leads_back_to_its_documents(folder: Path) -> None:
    shards = TokenShards(folder)
    assert shards.documents(0) == [Span("a", 0, 4, 0)]
    assert shards.documents(1) == [Span("a", 0, 2, 4)]
    assert shards.documents(2) == [Span("b", 0, 3, 0)]


def test_a_row_outside_is_refused(folder: Path) -> None:
    with pytest.raises(IndexError, match="rows 0 to 2"):
        TokenShards(folder).rows([-1])


def test_a_shard_of_another_shape_is_refused_by_name(folder: Path) -> None:
    np.save(folder / "00001.npy", np.zeros((1, 5), dtype=np.uint16))
    with pytest.raises(HeadwaterError, match=r"00001\.npy: holds uint16 of shape \(1, 5\)"):
        TokenShards(folder)


def test_a_shard_of_objects_is_refused_and_not_unpickled(folder: Path) -> None:
    np.save(folder / "00001.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(HeadwaterError, match=r"00001\.npy: not a token shard"):
        TokenShards(folder)


def test_a_token_beyond_the_vocabulary_is_refused(folder: Path) -> None:
    np.save(folder / "00001.npy", np.array([[1, 300, 2, 3]], dtype=np.uint16))
    with pytest.raises(HeadwaterError, match="row 2 holds token 300"):
        TokenShards(folder).rows([0, 2])


def test_a_folder_without_shards_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match="no token shards here"):
        TokenShards(tmp_path)


def test_the_rest_of_a_longer_document_is_a_piece_of_its_own() -> None:
    rows = np.array([[9, 9, 2, 1, 9, 2, 9, 2, 3, 3], [1, 9, 9, 9, 2, 1, 2, 9, 9, 2]])
    found = tokens.pieces(rows, begin=1, end=2)
    assert found.tolist() == [[0, 0, 0, 1, 1, 1, 2, 2, 3, 3], [1, 1, 1, 1, 1, 2, 2, 3, 3, 3]]
