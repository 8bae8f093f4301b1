"""Taking over a trial where there is none."""

import subprocess
from pathlib import Path

import pytest

from flows import apply


def test_what_is_no_experiment_is_one_line_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("train: {rate: 1}\n")
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "--all"], [*who, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], check=True)
    assert apply.main(["s-1-2"]) == 1
    assert capsys.readouterr().err.startswith("error: s-1-2: no such experiment here")
    Path("params.yaml").write_text("train: {rate: 2}\n")
    assert apply.main(["s-1-2"]) == 1
    assert "params.yaml is not committed" in capsys.readouterr().err
