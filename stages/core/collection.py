"""The work area is bounded: where it is larger than the profile allows, the least recently used results go."""

import json
import os
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path

from stages.core.runtime import profile

RECORD = "commit.json"
"""Of a result that is whole, and so does not change."""

# Sizes of whole results in bytes, by stage and fingerprint: to look at those of 51 archives takes each stage 0.08 s.
_SIZES = "sizes.json"


def collect(keep: Iterable[Path] = ()) -> None:
    """Remove the least recently used results while the work area is larger than the profile allows."""
    root = profile().work
    kept, known = set(keep), _known(root)
    results = {f"{stage.name}/{path.name}": path for stage in _folders(root) for path in _folders(stage)}
    whole = {name: path for name, path in results.items() if name in known or (path / RECORD).is_file()}
    sizes = {name: known[name] if name in known else _bytes(path) for name, path in results.items()}
    excess = sum(sizes.values()) - profile().work_limit_gb * 1e9
    for name, path in sorted(results.items(), key=lambda item: _used(item[1])) if excess > 0 else []:
        if excess <= 0:
            break
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)
            excess -= sizes[name]
            whole.pop(name, None)
    if whole.keys() != known.keys():
        partial = root / f".{_SIZES}-{socket.gethostname()}-{os.getpid()}"
        partial.write_text(json.dumps({name: sizes[name] for name in whole}), "utf-8")
        partial.replace(root / _SIZES)


def _known(root: Path) -> dict[str, int]:
    """What was noted of results; those that another process notes at the same time may be missing."""
    try:
        found: dict[str, int] = json.loads((root / _SIZES).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [folder / entry.name for entry in entries if entry.is_dir()]


def _used(folder: Path) -> float:
    """When a result was used last; another process may be giving it its final name, or taking it away."""
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _bytes(folder: str | Path) -> int:
    """Of all files below a folder that may be going away."""
    try:
        with os.scandir(folder) as entries:
            return sum(_bytes(entry.path) if entry.is_dir() else entry.stat().st_size for entry in entries)
    except FileNotFoundError:
        return 0
