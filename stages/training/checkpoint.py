"""Checkpoints: sharded, whole or not there, verified before they are used.

One is a folder ``step-NNNNNNNN`` with what torch.distributed.checkpoint (DCP) wrote, a file for each process; what the
run has logged up to that step; and a record with the hash of every file. It is written under another name, put on disk
and then renamed; the file ``latest`` names it only after that. A run that is killed at any instant finds a whole
checkpoint. Where the profile says so, a thread does all that while training goes on, with a copy of the state; the next
checkpoint waits until it is done.
"""

import json
import shutil
import warnings
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict

from stages.core import fingerprint, shards
from stages.core.errors import HeadwaterError
from stages.core.progress import log
from stages.core.runtime import profile
from stages.training import learner

_RECORD = "record.json"
_LATEST = "latest"

# DCP warns that one process is one process, even those who say so.
_ALONE = "torch.distributed is disabled"

WEIGHTS, KEPT = "model", "kept"
"""Of the parts of a checkpoint: the model's weights, and those that a run keeps beside them, by names."""


class Checkpoints:
    """The checkpoints of one training run.

    Args:
        folder: Where they lie; its name identifies the run, and a checkpoint of another run is refused.
        accelerator: The processes that save and load together.
        model: What is saved and loaded, in place.
        optimizers: The same.
        kept: Weights beside the model's by name, the same; may be empty.
        keep: Steps whose checkpoints are never removed.
    """

    def __init__(
        self,
        folder: Path,
        accelerator: Accelerator,
        model: Any,
        optimizers: Sequence[torch.optim.Optimizer],
        kept: dict[str, torch.Tensor],
        keep: Collection[int] = (),
    ) -> None:
        self.folder, self.accelerator, self.keep = folder, accelerator, keep
        self.model, self.optimizers, self.kept = model, optimizers, kept
        self._alone = accelerator.num_processes == 1
        self._thread = ThreadPoolExecutor(1) if profile().saving.asynchronous else None
        self._saving: Future[None] | None = None
        # Messages of the thread must not meet those of training.
        patience = timedelta(seconds=profile().lost_after)
        self._group = None if self._alone or self._thread is None else dist.new_group(backend="gloo", timeout=patience)
        warnings.filterwarnings("ignore", message=_ALONE, category=UserWarning)

    def save(self, step: int, texts: Mapping[str, str], anchor: int) -> None:
        """Save the state after ``step`` steps, once what was saved before is on disk; called by every process.

        Args:
            step: Of the run.
            texts: What the run has written, by name of a file.
            anchor: The step that the run may go back to, whose checkpoint is kept.
        """
        self.wait()
        if self._thread is None:
            self._write(self._state(), step, texts, anchor)
        else:
            self._saving = self._thread.submit(self._write, _copy(self._state()), step, texts, anchor)

    def wait(self) -> None:
        """Until what was saved last is on disk.

        Raises:
            OSError: it could not be written.
        """
        if self._saving is not None:
            saving, self._saving = self._saving, None
            saving.result()

    def close(self) -> None:
        """Wait, and end the thread."""
        if self._thread is not None:
            self._thread.shutdown()
        self.wait()

    def _write(self, state: dict[str, Any], step: int, texts: Mapping[str, str], anchor: int) -> None:
        final = place(self.folder, step)
        partial = self.folder / f"{final.name}.partial"
        if self.accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
        self._meet()
        writer = dcp.FileSystemWriter(partial)
        try:
            dcp.save(state, storage_writer=writer, process_group=self._group, no_dist=self._alone)
        except CheckpointException as error:  # which is no Exception
            raise RuntimeError(f"{partial}: could not be written") from error
        hashes = self._hashes(partial)
        if self.accelerator.is_main_process:
            for name, text in texts.items():
                (partial / name).write_text(text, "utf-8")
            self._record(partial, step, list(texts), hashes)
            shutil.rmtree(final, ignore_errors=True)  # one that was refused
            shards.replace(partial, final)
            self._point(final.name)
            self._prune(anchor)

    def _meet(self) -> None:
        if not self._alone:
            dist.barrier(self._group)

    def load(self) -> tuple[int, dict[str, str]]:
        """Set model and optimizers to the newest whole checkpoint: its step and texts, or 0 and nothing without one.

        Raises:
            HeadwaterError: the processes have no folder in common, so no checkpoint of theirs would be whole.
        """
        self._check_shared()
        chosen: list[str | None] = [self._newest() if self.accelerator.is_main_process else None]
        broadcast_object_list(chosen)
        return (0, {}) if chosen[0] is None else self._load(chosen[0])

    def back(self, step: int) -> tuple[int, dict[str, str]]:
        """Set model and optimizers to an earlier step, and forget those after it.

        Raises:
            HeadwaterError: its checkpoint is not there or damaged.
        """
        self.wait()
        folder = place(self.folder, step)
        found: list[str | None] = [problem(folder) if self.accelerator.is_main_process else None]
        broadcast_object_list(found)
        if found[0]:
            raise HeadwaterError(f"{folder}: cannot go back to it, {found[0]}; remove {self.folder}")
        if self.accelerator.is_main_process:
            self._point(folder.name)
            for later in (one for one in steps(self.folder) if one > step):
                shutil.rmtree(place(self.folder, later))
        return self._load(folder.name)

    def _load(self, name: str) -> tuple[int, dict[str, str]]:
        folder = self.folder / name
        state = self._state()
        dcp.load(state, storage_reader=dcp.FileSystemReader(folder), no_dist=self._alone)
        model, optimizer = state[WEIGHTS], state["optimizer"]
        set_state_dict(
            self.model,
            self.optimizers,
            model_state_dict=model,
            optim_state_dict=optimizer,
            options=StateDictOptions(strict=False),
        )
        record = json.loads((folder / _RECORD).read_text("utf-8"))
        return record["step"], {name: (folder / name).read_text("utf-8") for name in record["written"]}

    def _state(self) -> dict[str, Any]:
        model, optimizer = get_state_dict(self.model, self.optimizers)
        trained = learner.trained(self.model, model)  # what is frozen, a run begins with anyway
        return {WEIGHTS: trained, "optimizer": optimizer, KEPT: self.kept}  # loading fills kept's tensors in place

    def _check_shared(self) -> None:
        mark = self.folder / "shared.partial"
        if self.accelerator.is_main_process:
            mark.touch()
        self.accelerator.wait_for_everyone()
        blind = gather_object([not mark.exists()])
        if self.accelerator.is_main_process:
            mark.unlink()
        if any(blind):
            raise HeadwaterError(
                f"{self.folder}: {sum(blind)} of {len(blind)} processes do not see what the first writes: they train "
                "with one work area, so put `work` of the profile into a folder that all machines share"
            )

    def _hashes(self, folder: Path) -> dict[str, str]:
        """Of what the processes wrote, by name of a file; each reads its own, which would take one of them minutes."""
        own = folder.glob(f"__{self.accelerator.process_index}_*")
        hashes: list[dict[str, str]] = [{path.name: fingerprint.file_hash(path) for path in own}]
        if not self._alone:
            hashes *= self.accelerator.num_processes
            dist.all_gather_object(hashes, hashes[0], self._group)
        return {name: value for one in hashes for name, value in one.items()}

    def _record(self, folder: Path, step: int, written: list[str], hashes: Mapping[str, str]) -> None:
        files = {path.name: hashes.get(path.name) or fingerprint.file_hash(path) for path in shards.files(folder)}
        record = {"run": self.folder.name, "step": step, "written": written, "files": files}
        (folder / _RECORD).write_text(json.dumps(record, indent=1), "utf-8")

    def _point(self, name: str) -> None:
        partial = self.folder / f"{_LATEST}.partial"
        partial.write_text(name, "utf-8")
        shards.replace(partial, self.folder / _LATEST)

    def _prune(self, anchor: int) -> None:
        every = profile().saving.keep_every
        for step in steps(self.folder)[: -profile().saving.keep_last]:
            if step not in {anchor, *self.keep} and not (every and step % every == 0):
                shutil.rmtree(place(self.folder, step))

    def _newest(self) -> str | None:
        for partial in self.folder.glob("*.partial"):
            shutil.rmtree(partial) if partial.is_dir() else partial.unlink()
        for step in reversed(steps(self.folder)):
            folder = place(self.folder, step)
            found = problem(folder)
            if found is None:
                return folder.name
            log(f"{folder}: refused, {found}; the checkpoint before it is used")
        return None


def steps(run: Path) -> list[int]:
    """The steps of a run, from the first on, that there are checkpoints of."""
    folders = (path.name for path in run.glob("step-*") if path.suffix != ".partial")
    return sorted(int(name.removeprefix("step-")) for name in folders)


def place(run: Path, step: int) -> Path:
    """The folder of a checkpoint."""
    return run / f"step-{step:08d}"


def problem(folder: Path) -> str | None:
    """What is wrong with a checkpoint, or nothing."""
    try:
        record = json.loads((folder / _RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return f"{_RECORD} is missing or damaged"
    if record["run"] != folder.parent.name:
        return f"it belongs to run {record['run']}"
    for name, expected in record["files"].items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if fingerprint.file_hash(path) != expected:
            return f"{name} is damaged"
    return None


def tensors(folder: Path, part: str) -> dict[str, torch.Tensor]:
    """The tensors of a part of a checkpoint, whole, however many processes wrote them.

    Args:
        folder: Of the checkpoint.
        part: :data:`WEIGHTS` or :data:`KEPT`.

    Returns:
        By name; empty where the checkpoint has no such part.
    """
    reader = dcp.FileSystemReader(folder)
    described = reader.read_metadata().state_dict_metadata
    found = {
        name: torch.empty(one.size, dtype=one.properties.dtype)
        for name, one in described.items()
        if name.startswith(f"{part}.") and isinstance(one, TensorStorageMetadata)
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_ALONE, category=UserWarning)
        dcp.load(found, storage_reader=reader, no_dist=True)
    return {name.removeprefix(f"{part}."): tensor for name, tensor in found.items()}


def _copy(value: Any) -> Any:
    """A state whose tensors are copies in main memory, which training does not change."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copy(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_copy(one) for one in value]
    return value
