"""The machines that a stage ran on, kept beside the build: hardware is no result, and no result holds it.

The work area has a list for each stage, under the hash of the metrics that the run ended in. So they are known where
the build was made, for as long as its work area is kept.
"""

import contextlib
import csv
import hashlib
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from stages.core import shards
from stages.core.runtime import profile

_BEGUN = "begun.jsonl"
_GIB = 1 << 30


def here() -> dict[str, Any]:
    """This machine: its processor, cores, memory in GiB, accelerators with their memory, and system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "accelerators": _accelerators(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def begin(stage: str) -> None:
    """Note that this machine begins to run a stage; a run that is killed and goes on elsewhere has several."""
    if int(os.environ.get("LOCAL_RANK", "0")) == 0:
        with (shards.area("hardware", stage) / _BEGUN).open("a", encoding="utf-8") as file:
            file.write(json.dumps({**here(), "engine": profile().engine}) + "\n")


def end(stage: str, metrics: Path) -> None:
    """Note that the run has ended in these metrics."""
    area = shards.area("hardware", stage)
    machines = [*recorded(stage, _md5(metrics)), *_read(area / _BEGUN)]
    lines = dict.fromkeys(json.dumps(machine) + "\n" for machine in machines)
    (area / f"{_md5(metrics)}.jsonl").write_text("".join(lines), "utf-8")
    (area / _BEGUN).unlink(missing_ok=True)


def recorded(stage: str, metrics: str) -> list[dict[str, Any]]:
    """The machines that a stage ran on; none where that is not known.

    Args:
        stage: Its name.
        metrics: MD5 of its metrics, as dvc.lock has it.
    """
    return _read(profile().work / "hardware" / stage / f"{metrics}.jsonl")


def _read(path: Path) -> list[dict[str, Any]]:
    """The machines of a file; of a line that a crash or a full disk left half written none is known."""
    found = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _accelerators() -> list[str]:
    """As NVIDIA's driver names them, such as "NVIDIA H100 80GB HBM3, 81559 MiB"."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return [", ".join(row) for row in csv.reader(listed.stdout.splitlines(), skipinitialspace=True) if len(row) == 2]
