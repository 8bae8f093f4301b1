"""Resolve pyproject.toml into requirements.lock: every version exact, in pip's own format.

Run by `make lock`. The file carries no hashes: pip checks either all of them or none, and the libraries below torch
differ between its CPU and CUDA builds, so that one file with hashes could serve only one of the two.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
HEADER = """\
# Every version that the project runs with; made by `make lock` from pyproject.toml, installed by `make setup`.
# Another version of a library may make other bytes: every stage depends on this file.
# torch brings the CUDA libraries that its own build names, and none where the index serves its CPU build.
"""


def main() -> None:
    """Write requirements.lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run([*command, "--report", str(report), *wanted], check=True)
        found = [item["metadata"] for item in json.loads(report.read_text("utf-8"))["install"]]
    # A local version such as +cpu names a build, which is for the installing machine to choose.
    lines = {f"{item['name'].lower()}=={item['version'].partition('+')[0]}" for item in found}
    kept = sorted(line for line in lines if not line.startswith(("nvidia-", "triton==", "cuda-")))
    LOCK.write_text(HEADER + "\n".join(kept) + "\n", "utf-8")


if __name__ == "__main__":
    main()
