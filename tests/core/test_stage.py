"""The stage harness, as a user meets it on the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed.run

from stages.core import stage
from tests.conftest import DISK_MB, ROOT

STAGE = '''
"""Count the words of a file."""

from pathlib import Path

from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.stage import Metrics, main


@params
class Params:
    limit: int
    """Most words kept."""


def run(params: Params, *, text: Path, more_text: tuple[Path, ...]) -> Metrics:
    """Count.

    Args:
        text: The file, 100 % text.
        more_text: Other files.
    """
    words = [word for path in (text, *more_text) for word in path.read_text().split()]
    if not words:
        raise HeadwaterError(f"{text}: holds no word; give another file")
    if words[0] == "lose":
        return {"in": len(words), "out": 0, "dropped": {"lost": 1}}
    cut = max(0, len(words) - params.limit)
    return {"in": len(words), "out": len(words) - cut, "dropped": {"cut": cut}}


if __name__ == "__main__":
    main(run)
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with the real core and one stage of the test's own."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "__init__.py").write_text("")
    (tmp_path / "stages" / "core").symlink_to(ROOT / "stages" / "core")
    (tmp_path / "infra").symlink_to(ROOT / "infra")
    (tmp_path / "stages" / "words.py").write_text(STAGE)
    (tmp_path / "params.yaml").write_text("words: {limit: 3}")
    (tmp_path / "text").write_text("one two three four")
    (tmp_path / "more").write_text("five")
    return tmp_path


def run(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command, known = [sys.executable, "-m", "stages.words", *arguments], {**os.environ, **environment}
    return subprocess.run(command, cwd=project, env=known, capture_output=True, text=True, check=False)


ARGUMENTS = ("--text", "text", "--more-text", "more", "more", "--metrics", "metrics/words.json")


def test_a_stage_writes_its_metrics_and_says_what_it_dropped(project: Path) -> None:
    done = run(project, *ARGUMENTS)
    assert done.returncode == 0
    assert json.loads((project / "metrics/words.json").read_text()) == {"in": 6, "out": 3, "dropped": {"cut": 3}}
    assert done.stderr == "words: in 6, out 3, dropped: cut 3\n"


def test_help_explains_parameters_and_paths(project: Path) -> None:
    text = run(project, "--help").stdout
    assert "Count the words of a file." in text
    assert "limit = 3: Most words kept." in text
    assert "The file, 100 % text." in text


def test_an_error_the_user_can_mend_is_one_line_and_exit_code_1(project: Path) -> None:
    (project / "text").write_text("")
    (project / "more").write_text("")
    failed = run(project, *ARGUMENTS)
    assert (failed.returncode, failed.stderr) == (1, "error: words: text: holds no word; give another file\n")
    assert not (project / "metrics").exists()


def test_a_misspelt_parameter_is_named(project: Path) -> None:
    (project / "params.yaml").write_text("words: {limt: 3}")
    failed = run(project, *ARGUMENTS)
    assert failed.returncode == 1
    assert failed.stderr == "error: words: params.yaml: words.limt is not a parameter; did you mean 'limit'?\n"


def test_a_document_that_goes_missing_without_a_reason_is_a_bug(project: Path) -> None:
    (project / "text").write_text("lose one")
    failed = run(project, *ARGUMENTS)
    assert failed.returncode == 1
    assert "AssertionError: words: in 4 is not out 0 plus dropped {'lost': 1}" in failed.stderr
    assert not (project / "metrics").exists()


def test_a_full_disk_is_one_line(project: Path) -> None:
    (project / "stages" / "words.py").write_text(
        STAGE.replace("path.read_text()", 'Path("/dev/full").write_text("x" * 9)')
    )
    failed = run(project, *ARGUMENTS)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: words: no space left on the disk of ")
    assert failed.stderr.count("\n") == 1


def test_a_full_disk_is_one_line_whatever_a_library_makes_of_it(project: Path, disk: Path) -> None:
    (project / "profile.yaml").write_text(f"work: {disk}")
    (project / "stages" / "words.py").write_text(
        STAGE.replace("path.read_text()", "_library()")
        + """

def _library():
    try:
        Path("FILL").write_bytes(bytes(SIZE))
    except OSError:
        raise RuntimeError("unexpected pos 704 vs 598") from None
""".replace("FILL", str(disk / "fill")).replace("SIZE", str(DISK_MB << 21))
    )
    failed = run(project, *ARGUMENTS, HEADWATER_PROFILE="profile.yaml")
    assert failed.stderr.startswith(f"error: words: no space left on the disk of {disk} ")
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert not list(disk.glob("probe*"))
    (disk / "fill").unlink()
    (project / "stages" / "words.py").write_text(STAGE.replace("path.read_text()", "(1 / 0)"))
    assert "ZeroDivisionError" in run(project, *ARGUMENTS, HEADWATER_PROFILE="profile.yaml").stderr


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ('PermissionError(13, "Permission denied", str(path))', "permission denied; let this user read it, or write"),
        ('OSError(30, "Read-only file system", str(path))', "its disk can only be read; mount it"),
    ],
)
def test_a_file_that_may_not_be_read_or_written_is_one_line(project: Path, refusal: str, said: str) -> None:
    raised = f"(_ for _ in ()).throw({refusal})"  # root may read all
    (project / "stages" / "words.py").write_text(STAGE.replace("path.read_text()", raised))
    failed = run(project, *ARGUMENTS)
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"error: words: text: {said}")
    assert failed.stderr.count("\n") == 1


def test_processes_that_train_together_have_time_to_save_before_torchrun_kills_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[str] = []
    monkeypatch.setenv(stage._LAUNCHER, "")  # which it sets: taken back at the end
    monkeypatch.setattr(torch.distributed.run, "main", started.extend)
    monkeypatch.setattr(sys, "argv", ["pretrain", "--tokens", "data/pack"])
    with pytest.raises(SystemExit):
        stage._torchrun("pretrain")
    parsed = torch.distributed.run.get_args_parser().parse_args(started)
    assert parsed.shutdown_timeout == stage.GRACE
    assert [parsed.training_script, *parsed.training_script_args] == ["stages.pretrain", "--tokens", "data/pack"]


def test_a_stage_run_as_a_file_says_how_to_run_it(project: Path) -> None:
    command = [sys.executable, "stages/words.py", *ARGUMENTS]
    failed = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, env={"PYTHONPATH": "."})
    assert failed.returncode == 1
    assert "python -m stages.words" in failed.stderr
