"""Shards: built once, committed with a record, taken as they are when nothing they depend on has changed.

A unit of work reads some files and writes some files. It is built in a folder of the work area whose name is its
fingerprint: what the function is (its code and the software below), its parameters, and the content of its inputs. The
folder gets its final name only after every file in it is on disk and a commit record names their hashes; so a folder
with that name is whole, and one without is not there. DVC removes a stage's outputs before it runs the stage, so
results are published to the outputs by link at the end: a killed stage loses one unfinished unit for each worker.
"""

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core import engines, fingerprint
from stages.core.collection import RECORD, collect
from stages.core.errors import HeadwaterError
from stages.core.params import as_json
from stages.core.progress import log, meter
from stages.core.runtime import profile

Metrics = dict[str, Any]
"""Counts of a stage or of a unit: ``in``, ``out``, ``dropped`` by reason, and whatever else is worth comparing."""

Function = Callable[[Any, Sequence[Path], Mapping[str, Path]], Metrics]
"""What builds a unit: ``function(params, inputs, outputs)`` reads ``inputs``, writes every path of ``outputs``."""


@dataclass(frozen=True)
class Unit:
    """One piece of work: the files it reads, and a file name for each output that it writes."""

    inputs: tuple[Path, ...]
    outputs: Mapping[str, str]
    """Label to file name, such as ``{"kept": "00000.parquet"}``; the name is that of the published file."""


@dataclass(frozen=True)
class Built:
    """A committed unit: where its outputs lie in the work area, and its metrics."""

    outputs: Mapping[str, Path]
    metrics: Metrics


def build(
    function: Function, params: Any, units: Iterable[Unit], *, label: str, count: str = "documents"
) -> list[Built]:
    """Build every unit that is not yet committed, by the profile's engine; results in the order of ``units``.

    Args:
        function: A module's own function (it is sent to worker processes by name).
        params: What the function is told besides its inputs; JSON-able or a ``Params``. Part of the fingerprint.
        label: The stage's name for this work; also its folder in the work area.
        count: What ``metrics["in"]`` counts, for the progress display.

    Raises:
        HeadwaterError: an input is missing; or from the function, or from the engine, such as when a worker was killed.
    """
    todo = list(units)
    area = _area(label)
    # Read once: what all units share was often written just now, and file_hash remembers no such file.
    hashes = _hashes(path for one in todo for path in one.inputs)
    told = as_json(params)
    folders = [area / _identity(function, told, unit.inputs, sorted(unit.outputs.items()), hashes) for unit in todo]
    missing = [index for index, whole in enumerate(_side_by_side(_committed, folders)) if not whole]
    if len(missing) < len(todo):
        log(f"{label}: {len(todo) - len(missing)} of {len(todo)} are built already")
    lengths = {path: _length(path) for path in dict.fromkeys(path for index in missing for path in todo[index].inputs)}
    sizes = {index: sum(lengths[path] for path in todo[index].inputs) or 1 for index in missing}
    # The largest first, so that no worker is left alone with one at the end.
    missing.sort(key=lambda index: -sizes[index])
    jobs = [(function, params, todo[index], folders[index]) for index in missing]
    with meter(label, sum(sizes.values()), count) as progress:
        for number in engines.run(_build, jobs, module=function.__module__, label=label):
            index = missing[number]
            progress.advance(_read(folders[index], todo[index]).metrics.get("in", 1), sizes[index])
    if missing:
        collect(keep=folders)
    return [_read(folder, unit) for folder, unit in zip(folders, todo, strict=True)]


def publish(built: Iterable[Built], label: str, folder: Path) -> None:
    """Make ``folder`` hold exactly the output ``label`` of every unit, by hard link where the file system allows."""
    partial = _made(folder.parent) / f".{folder.name}.partial"
    if partial.exists():  # a run that was killed left it, with pages that may have been taken down since
        shutil.rmtree(partial)
    partial.mkdir()
    partial.chmod(0o755)
    for one in built:
        _link(one.outputs[label], partial / one.outputs[label].name)
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def publish_file(source: Path, target: Path) -> None:
    """Make ``target`` the same file or folder as ``source``, by hard link where the file system allows."""
    if source.is_dir():
        if target.exists():
            shutil.rmtree(target)
        for path in sorted(source.rglob("*")):
            if path.is_file():
                _made((target / path.relative_to(source)).parent)
                _link(path, target / path.relative_to(source))
        return
    _made(target.parent)
    target.unlink(missing_ok=True)
    _link(source, target)


def identity(function: Callable[..., Any], params: Any, inputs: Sequence[Path], extra: Any = None) -> str:
    """Fingerprint of ``function(params, inputs)``: code, software, parameters, and names and content of the inputs."""
    return _identity(function, as_json(params), inputs, extra, _hashes(inputs))


def _hashes(paths: Iterable[Path]) -> dict[Path, str]:
    different = list(dict.fromkeys(paths))
    try:
        return dict(zip(different, _side_by_side(fingerprint.file_hash, different), strict=True))
    except FileNotFoundError as error:
        raise HeadwaterError(
            f"{error.filename}: not here; `dvc repro` makes what a stage reads before it runs it"
        ) from None


def _side_by_side(look: Callable[[Path], Any], paths: Sequence[Path]) -> list[Any]:
    """What ``look`` finds of each path; files are read and hashed on as many cores as the stage may use."""
    with ThreadPoolExecutor(profile().worker_count) as pool:
        return list(pool.map(look, paths))


def _identity(
    function: Callable[..., Any], told: str, inputs: Sequence[Path], extra: Any, hashes: Mapping[Path, str]
) -> str:
    digest = hashlib.sha256()
    module = function.__module__
    digest.update(f"{module}.{function.__qualname__}\0{fingerprint.code(module)}\0{told}\0".encode())
    for path in inputs:
        digest.update(os.fsencode(path.name) + f"\0{hashes[path]}\n".encode())
    digest.update(as_json(extra).encode())
    return digest.hexdigest()[:32]


def area(label: str, key: str) -> Path:
    """A folder of the work area for work that keeps its own commit records, such as checkpoints."""
    folder = _area(label) / key
    folder.mkdir(exist_ok=True)
    os.utime(folder)
    return folder


def files(folder: Path, pattern: str = "*") -> list[Path]:
    """The files of a folder of shards, sorted by name: the order of documents never depends on the file system."""
    return sorted(path for path in folder.glob(pattern) if path.is_file())


def total(built: Iterable[Metrics]) -> Metrics:
    """Metrics of many units as one: numbers are added, mappings are merged key by key, keys end up sorted."""
    merged: Metrics = {}
    for metrics in built:
        for key, value in metrics.items():
            if isinstance(value, dict):
                merged[key] = total([merged.get(key, {}), value])
            else:
                merged[key] = merged.get(key, 0) + value
    return dict(sorted(merged.items()))


def sync(path: Path) -> None:
    """Put a file, or every file of a folder and the folder itself, on disk."""
    if not path.is_dir():
        _fsync(path)
        return
    # Some at a time, so that the disk is waited for seldom: for 51 files in as many folders 0.02 s, not 0.4.
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_fsync, [*path.rglob("*"), path]))


def replace(partial: Path, final: Path) -> None:
    """Give a finished file or folder its final name, durably: all of it is on disk before the name is."""
    sync(partial)
    partial.replace(final)
    _fsync(final.parent)


def _area(label: str) -> Path:
    return _made(profile().work / label)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _length(path: Path) -> int:
    """Bytes of an input; 0 of a folder."""
    return path.stat().st_size if path.is_file() else 0


def _build(function: Function, params: Any, unit: Unit, folder: Path) -> None:
    _remove_abandoned(folder)
    partial = folder.with_name(f"{folder.name}.partial-{socket.gethostname()}-{os.getpid()}")
    partial.mkdir()
    try:
        outputs = {label: partial / label / name for label, name in unit.outputs.items()}
        for path in outputs.values():
            path.parent.mkdir()
        metrics = function(params, unit.inputs, outputs)
        record = {
            "function": f"{function.__module__}.{function.__qualname__}",
            "fingerprint": folder.name,
            "inputs": [path.name for path in unit.inputs],
            "outputs": {label: fingerprint.file_hash(path) for label, path in outputs.items()},
            "metrics": metrics,
        }
        # Names of files need not be UTF-8.
        told = json.dumps(record, indent=1, ensure_ascii=False)
        (partial / RECORD).write_text(told, "utf-8", "backslashreplace")
        try:
            replace(partial, folder)
        except OSError:  # a damaged result is there, or a twin that another process finished first and may be reading
            if not _committed(folder):
                shutil.rmtree(folder)
                replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove what a killed process of this machine left of ``folder``."""
    for partial in folder.parent.glob(f"{folder.name}.partial-{socket.gethostname()}-*"):
        try:
            os.kill(int(partial.name.rpartition("-")[2]), 0)
        except ProcessLookupError:
            shutil.rmtree(partial, ignore_errors=True)
        except PermissionError:  # it is there, and another user's
            continue


def _committed(folder: Path) -> bool:
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
        for label, expected in record["outputs"].items():
            (path,) = (folder / label).iterdir()
            if fingerprint.file_hash(path) != expected:
                log(f"{folder}: {label} is damaged and is built again")
                return False
    except (OSError, ValueError, KeyError):
        return False
    os.utime(folder)
    return True


def _read(folder: Path, unit: Unit) -> Built:
    record = json.loads((folder / RECORD).read_text("utf-8"))
    return Built({label: folder / label / name for label, name in unit.outputs.items()}, record["metrics"])


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        partial = target.with_name(f".{target.name}.partial")
        shutil.copyfile(source, partial)
        replace(partial, target)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
