"""Bits per byte and its standard error."""

import json
import math
import random
import statistics
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stages.scoring import bits_per_byte
from stages.scoring.likelihood import Scorer, Windows
from tests import small_model

WINDOWS = Windows(overlap=0.25, batch_tokens=512)


def test_standard_error_is_that_of_the_bootstrap() -> None:
    generator = random.Random(1)
    sizes = [generator.lognormvariate(7, 1) for _ in range(200)]
    bits = [size * generator.gauss(2, 0.3) for size in sizes]
    draws = [generator.choices(range(200), k=200) for _ in range(2000)]
    spread = statistics.stdev(sum(bits[i] for i in draw) / sum(sizes[i] for i in draw) for draw in draws)
    figures = bits_per_byte.ratio(bits, sizes)
    assert figures["bits_per_byte"] == pytest.approx(sum(bits) / sum(sizes))
    assert figures["stderr"] == pytest.approx(spread, rel=0.1)


def test_sums_are_exact_on_every_version_of_python() -> None:
    assert bits_per_byte.ratio([0.1] * 10, [1] * 10)["bits_per_byte"] == 0.1


def test_figures_are_those_of_the_documents(model: Path, profile: Path, tmp_path: Path) -> None:
    rows = [
        small_model.document(1, text="Ein größerer Text: 日本語."),
        small_model.document(2, "de"),
        small_model.document(3, url="http://[broken"),
    ]
    shard = small_model.write(tmp_path / "documents.parquet", rows)
    outputs = {"scores": tmp_path / "scores.parquet", "figures": tmp_path / "figures.json"}
    bits_per_byte.measure(WINDOWS, [model, shard], outputs)
    figures = json.loads(outputs["figures"].read_text())
    assert set(figures["by_host"]) == {"", "de.example.org", "en.example.org"}
    assert figures["by_language"]["en"]["documents"] == 2
    assert figures["by_language"]["de"]["stderr"] is None  # one document has no spread

    scorer = Scorer(model, WINDOWS)
    nats = [scorer.score([scorer.windows([scorer.begin], scorer.encode(row["text"]))])[0].nats for row in rows]
    size = sum(len(row["text"].encode()) for row in rows)
    assert figures["overall"]["all"]["bytes"] == size
    assert figures["overall"]["all"]["bits_per_byte"] == pytest.approx(sum(nats) / math.log(2) / size, rel=1e-6)
    table = pq.read_table(outputs["scores"])
    assert sum(table["bits"].to_pylist()) == pytest.approx(sum(nats) / math.log(2), rel=1e-6)
