"""General compressors as a measure."""

import json
import random
from pathlib import Path

import pytest

from stages.scoring import compression
from tests import small_model


def test_bits_per_byte_of_known_data() -> None:
    noise = random.Random(1).randbytes(100_000)
    for name, bits in compression.compressed_bits_per_byte(noise).items():
        assert bits == pytest.approx(8, rel=0.01), name
    for name, bits in compression.compressed_bits_per_byte(b"\0" * 100_000).items():
        assert bits < 0.05, name


def test_groups_are_compressed_alone(tmp_path: Path) -> None:
    rows = [small_model.document(1), small_model.document(2, "de"), small_model.document(3)]
    shard = small_model.write(tmp_path / "documents.parquet", rows)
    compression.measure(None, [shard], {"figures": tmp_path / "figures.json"})
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["by_language"]["en"] == compression.compressed_bits_per_byte(
        (rows[0]["text"] + rows[2]["text"]).encode()
    )
    assert set(figures["overall"]["all"]) == {"gzip-9", "zstd-19", "xz-9"}
