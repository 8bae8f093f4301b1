"""The machines that a stage ran on are known by the metrics that it ended in, and by nothing else."""

import hashlib
from pathlib import Path

import pytest

from stages.core import hardware


def _ended(metrics: Path, content: str) -> str:
    metrics.write_text(content, "utf-8")
    hardware.end("pretrain", metrics)
    return hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()


def test_a_run_that_went_on_elsewhere_has_both_machines_and_the_next_run_its_own(
    profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware.begin("pretrain")  # killed
    first = hardware.here()
    monkeypatch.setattr("os.cpu_count", lambda: 96)
    hardware.begin("pretrain")
    ended = _ended(tmp_path / "metrics.json", "{}")
    machines = hardware.recorded("pretrain", ended)
    assert [machine["cores"] for machine in machines] == [first["cores"], 96]
    assert machines[0] == {**first, "engine": "local"}
    assert (first["processor"] != "", first["memory_gib"] > 0) == (True, True)
    hardware.begin("pretrain")
    assert [machine["cores"] for machine in hardware.recorded("pretrain", _ended(tmp_path / "m.json", "[]"))] == [96]
    assert hardware.recorded("finetune", ended) == []


def test_a_line_that_a_crash_left_half_written_ends_no_run(profile: Path, tmp_path: Path) -> None:
    hardware.begin("pretrain")
    begun = next((profile / "hardware").rglob("begun.jsonl"))
    begun.write_bytes(begun.read_bytes() + b'{"processor": "caf\xc3\n\0\0\n')
    machines = hardware.recorded("pretrain", _ended(tmp_path / "metrics.json", "{}"))
    assert machines == [{**hardware.here(), "engine": "local"}]


def test_accelerators_are_those_of_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 81559 MiB'\necho 'NVIDIA H100 80GB HBM3, 81559 MiB'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert hardware.here()["accelerators"] == ["NVIDIA H100 80GB HBM3, 81559 MiB"] * 2
