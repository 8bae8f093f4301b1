"""The contract between dvc.yaml, params.yaml and the modules holds, and its breach is named."""

import shutil
from pathlib import Path

import pytest

from stages.core import contract


def test_the_project_keeps_its_contract() -> None:
    assert contract.problems() == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "--kept data/filter/kept",
            "--kept data/filter/keep",
            "data/filter/keep is in cmd but is no dep, out or metric",
        ),
        ("- stages/web/rules/quality.py\n", "", "filter: stages/web/rules/quality.py is imported but is not in deps"),
        ("params: [filter]", "params: [dedup]", "filter: params must be [filter], got ['dedup']"),
        ("  filter:\n", "  filtre:\n", "filtre: is in dvc.yaml but has no module stages/filtre.py"),
    ],
)
def test_a_breach_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, problem: str) -> None:
    text = contract.PIPELINE.read_text("utf-8")
    assert old in text
    monkeypatch.setattr(contract, "PIPELINE", tmp_path / "dvc.yaml")
    (tmp_path / "dvc.yaml").write_text(text.replace(old, new), "utf-8")
    assert any(problem in found for found in contract.problems())


def test_write_restores_the_code_of_every_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(contract.PIPELINE, tmp_path / "dvc.yaml")
    before = (tmp_path / "dvc.yaml").read_text("utf-8")
    monkeypatch.setattr(contract, "PIPELINE", tmp_path / "dvc.yaml")
    (tmp_path / "dvc.yaml").write_text(before.replace("- stages/web/rules/quality.py\n", "- stages/gone.py\n"), "utf-8")
    contract.write()
    assert contract.problems() == []
    assert (tmp_path / "dvc.yaml").read_text("utf-8") == before
