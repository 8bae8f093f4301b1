"""The plan on the command line: a small one in full, and what is wrong in one line."""

import sys

import pytest

from stages.training import plan


def planned(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["plan", *words])
    plan.main()
    return capsys.readouterr().out


def test_a_plan_says_what_fits_what_it_takes_and_how_to_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = planned(monkeypatch, capsys, "--recipe", "tiny", "--gpus", "2", "--gpu", "l40s", "--price", "1.5")
    assert "parameters       2,557,632" in text
    assert "largest micro-batch 2 2 forward passes a step 1 1" in " ".join(text.split())
    assert "before it takes its share: 9.8 MiB, and 19.5 MiB of a machine." in text
    assert "1.50 USD for a GPU hour (--price)" in text
    assert "Chinchilla point  51.15M" in text
    assert "training waits" in text
    start = text[text.index("\nStart\n") :]
    recipe, packing, run = (
        start.index(one) for one in ("core.recipe tiny --set", "dvc repro pack", "-m -- stages.pretrain")
    )
    assert recipe < packing < run  # what is packed follows the recipe: its vocabulary, its context
    assert "--nproc-per-node=2" in text


def test_a_launch_says_beside_its_script_what_comes_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--recipe", "tiny", "--gpus", "2", "--gpu", "l40s", "--launch", "sbatch"]
    monkeypatch.setattr(sys, "argv", ["plan", *words])
    plan.main()
    told = capsys.readouterr()
    assert told.out.startswith("#!/bin/bash\n")
    assert told.err.endswith("before the run: python -m stages.core.recipe tiny && dvc repro pack\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--recipe", "8b", "--gpu", "h100", "--gpus", "8"], "no such recipe; did you mean '7b'?"),
        (["--recipe", "7b", "--gpu", "h10", "--gpus", "8"], "no GPU 'h10'; did you mean 'h100'?"),
        (["--recipe", "7b", "--gpu", "h100", "--gpus", "24"], "batch_sequences is 1024, which 24 GPUs cannot share"),
        (["--recipe", "7b", "--gpu", "h100", "--gpus", "8", "16"], "--compare makes a table"),
        (["--gpu", "h100", "--gpus", "0"], "--gpus must be a whole number of 1 or more, got '0'"),
        (["--gpu", "h100", "--gpus", "8", "--mfu", "1.2"], "--mfu must be a number above 0 and at most 1, got '1.2'"),
        (["--gpu", "h100", "--gpus", "8", "--disk", "nan"], "--disk must be a number above 0, got 'nan'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, words: list[str], said: str) -> None:
    monkeypatch.setattr(sys, "argv", ["plan", *words])
    with pytest.raises(SystemExit, match=r"^error: ") as stopped:
        plan.main()
    assert said in str(stopped.value)
    assert "\n" not in str(stopped.value)
