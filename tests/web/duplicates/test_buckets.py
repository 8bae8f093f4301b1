"""Documents that share a key come together, in the order of the rule, whatever the memory and the shards."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from stages.core import runtime
from stages.web.duplicates import buckets
from stages.web.duplicates.signatures import ENTRY, TABLE, entries


def shards(folder: Path, sizes: list[int], seed: int = 0) -> tuple[list[Path], list[Path], list[Path]]:
    """Entries, tables and sources of shards of documents with random keys, half of them in one range of keys."""
    draw = np.random.default_rng(seed)
    folder.mkdir()
    made: tuple[list[Path], list[Path], list[Path]] = ([], [], [])
    for number, size in enumerate(sizes):
        table = np.zeros(size, TABLE)
        table["id"] = [f"{value:032x}".encode() for value in draw.integers(0, 2**62, size)]
        table["words"] = draw.integers(50, 60, size)
        table["offset"] = draw.permutation(size)
        keys = draw.integers(0, 3000, size).astype(np.uint64) * np.uint64(2**64 // 3000 // 2)
        paths = [folder / f"{number}.{kind}" for kind in ("entries", "table", "json")]
        entries(list(keys[:, np.newaxis])).tofile(paths[0])
        table.tofile(paths[1])
        paths[2].write_text(json.dumps([f"{number}.warc.gz"]), "utf-8")
        for kind, path in zip(made, paths, strict=True):
            kind.append(path)
    return made


def bucket(folder: Path, inputs: tuple[list[Path], list[Path], list[Path]]) -> tuple[bytes, bytes]:
    outputs = {"members": folder / "members", "starts": folder / "starts"}
    buckets.bucket("longest", [path for kind in inputs for path in kind], outputs)
    return outputs["members"].read_bytes(), outputs["starts"].read_bytes()


def test_every_bucket_is_found_and_in_order(profile: Path, tmp_path: Path) -> None:
    made = shards(tmp_path / "shards", [2000, 0, 1500])
    expected: dict[int, list[tuple[int, int, int, int]]] = {}
    first = 0
    for shard, (path, tables) in enumerate(zip(*made[:2], strict=True)):
        table = np.fromfile(tables, TABLE)
        for key, row in np.fromfile(path, ENTRY).tolist():
            words, offset = -int(table["words"][row]), int(table["offset"][row])
            expected.setdefault(key, []).append((words, shard, offset, first + row))
        first += len(table)
    members, starts = (np.frombuffer(data, np.int64) for data in bucket(tmp_path, made))
    found = [members[start:end].tolist() for start, end in itertools.pairwise(starts)]
    assert found == [[number for *_, number in sorted(own)] for _, own in sorted(expected.items()) if len(own) > 1]
    assert 500 < len(found) < 1500


def test_memory_changes_no_byte(profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = shards(tmp_path / "shards", [9000, 8000, 7000])
    plenty = bucket(tmp_path, made)
    (tmp_path / "little.yaml").write_text("memory_mb: 1\n", "utf-8")
    monkeypatch.setenv("HEADWATER_PROFILE", str(tmp_path / "little.yaml"))
    runtime.profile.cache_clear()
    ranges = list(buckets.merged(made[0], buckets.Shards(made[1], made[2]), "longest", least=2))
    assert len(ranges) == 1 + 24000 * buckets._ENTRY_BYTES // 1_000_000
    assert max(len(one.members) for one in ranges) < 6500  # although the keys fill half of the numbers only
    assert bucket(tmp_path, made) == plenty


def test_one_document_is_in_no_bucket(profile: Path, tmp_path: Path) -> None:
    made = shards(tmp_path / "shards", [1])
    assert bucket(tmp_path, made) == (b"", np.zeros(1, np.int64).tobytes())
