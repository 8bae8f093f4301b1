"""On an accelerator, weights and what meets them are in the same place: tried on a pretended one, for there is no GPU.

It computes on the CPU and refuses to mix its tensors with those of the CPU. What it cannot tell is whether a GPU's own
operations repeat themselves, how fast they are, and how several GPUs share their work.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import ROOT

FILES = (
    "training/test_adapters.py",
    "training/test_checkpoint.py",
    "training/test_distillation.py",
    "training/test_heads.py",
    "training/test_loop.py",
    "training/test_pairs.py",
    "training/test_preference.py",
    "training/test_resume.py",
    "training/test_snapshot.py",
    "training/test_spikes.py",
    "test_evaluate.py",
    "test_finetune.py",
    "scoring",
)

# What compiles for the device; what starts processes, which know nothing of it; and what finds weights exchanged under
# their names, which is how they move to it.
NOT = "not compiled and not processes_share and not of_the_last_step"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_training_tuning_and_scoring_keep_their_tensors_together(tmp_path: Path) -> None:
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not (headers.is_file() and shutil.which("c++") and shutil.which("ninja")):
        pytest.skip("builds a device for PyTorch: install a C++ compiler, ninja and Python's headers")
    command = [sys.executable, "-m", "pytest", "-p", "tests.training.pretend.plugin", "-p", "no:cacheprovider"]
    command += ["-m", "slow or not slow", "-k", NOT, *(f"tests/{name}" for name in FILES)]
    known = {**os.environ, "PYTHONPATH": str(ROOT), "TORCH_EXTENSIONS_DIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=known, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:]
