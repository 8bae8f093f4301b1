"""What the demo takes on this machine: seconds and memory by stage, and whether two clones make the same bytes.

    python tests/benchmarks/demo.py [--clones 2] [--folder FOLDER]

Clones the project, runs `make setup` and `dvc repro` in the clone as a new user would, and prints for every stage its
wall-clock seconds and the peak memory of its processes (proportional set size, summed over the process tree). Then
`dvc repro` with nothing to do, five times. A second clone does it all again and the two dvc.lock files are compared.
"""

import argparse
import contextlib
import platform
import re
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


class Memory(threading.Thread):
    """Samples the memory of a process tree; ``take`` gives the peak in bytes since the last call."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(process)
        self._peak = 0

    def run(self) -> None:
        """Sample until the process ends."""
        with contextlib.suppress(psutil.NoSuchProcess):
            while self._root.is_running() and self._root.status() != psutil.STATUS_ZOMBIE:
                self._peak = max(self._peak, self._now())
                time.sleep(0.5)  # a look takes some 7 ms of a core, which may be one of those measured

    def _now(self) -> int:
        total = 0
        for process in [self._root, *self._root.children(recursive=True)]:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:  # it ended between the two calls
                continue
        return total

    def take(self) -> int:
        """Peak since the last call."""
        peak, self._peak = self._peak, 0
        return peak


def build(clone: Path) -> dict[str, tuple[float, int]]:
    """Run ``dvc repro``; seconds and peak bytes by stage, in order."""
    environment = f"PATH={clone}/.venv/bin:$PATH"
    command = ["bash", "-c", f"export {environment}; exec dvc repro 2>&1"]
    process = subprocess.Popen(command, cwd=clone, stdout=subprocess.PIPE, text=True)
    memory = Memory(process.pid)
    memory.start()
    measured: dict[str, tuple[float, int]] = {}
    stage, start = "start", time.monotonic()
    assert process.stdout is not None
    for line in process.stdout:
        print("   ", line, end="", flush=True)
        if found := re.match(r"Running stage '(\w+)'", line):
            measured[stage] = (time.monotonic() - start, memory.take())
            stage, start = found[1], time.monotonic()
    measured[stage] = (time.monotonic() - start, memory.take())
    if process.wait():
        raise SystemExit(f"dvc repro failed in {clone}")
    return measured


def timed(command: str, clone: Path) -> float:
    """Wall-clock seconds of a shell command."""
    start = time.monotonic()
    subprocess.run(["bash", "-c", command], cwd=clone, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clones", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to clone to; a new temporary folder by default")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="headwater-"))
    locks = []
    for number in range(arguments.clones):
        clone = folder / f"clone{number}"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        setup = timed("make setup", clone)
        measured = build(clone)
        locks.append((clone / "dvc.lock").read_bytes())
        again = [timed(".venv/bin/dvc repro", clone) for _ in range(5)]
        print(
            f"\nclone {number}: {platform.platform()}, {psutil.cpu_count()} cores, Python {platform.python_version()}"
        )
        print(f"{'set-up':<16}{setup:8.1f} s")
        for stage, (seconds, peak) in measured.items():
            print(f"{stage:<16}{seconds:8.1f} s {peak / 1e9:6.2f} GB")
        print(f"{'all':<16}{setup + sum(seconds for seconds, _ in measured.values()):8.1f} s")
        print(f"{'nothing to do':<16}{statistics.median(again):8.2f} s (median of 5)")
    if len(locks) > 1:
        print("dvc.lock: the same bytes" if len(set(locks)) == 1 else "dvc.lock: DIFFERENT")
    print(f"clones are in {folder}")


if __name__ == "__main__":
    main()
