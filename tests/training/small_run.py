"""A training run small enough to repeat: packed tokens, parameters, and a process that is killed and started again.

As a program, ``python -m tests.training.small_run FOLDER PROCESSES KILLS SEED`` trains in ``FOLDER`` without a kill,
then again in another work area where every attempt but the last is ended by SIGKILL at a random moment. It forks its
processes from one that has imported torch already, so an attempt starts in milliseconds.
"""

import json
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stages.core import fingerprint, runtime, tokens

CONTEXT, VOCABULARY, ROWS = 16, 300, 90

PARAMS: dict[str, Any] = {
    "seed": 1,
    "steps": 30,
    "epochs": 20,
    "snapshots": [],
    "init_from": "",
    "replay": {"tokens": "", "share": 0.0},
    "model": {
        "kind": "llama",
        "hidden": 32,
        "layers": 2,
        "heads": 2,
        "kv_heads": 1,
        "intermediate": 64,
        "rope_theta": 10000,
        "norm_epsilon": 1e-5,
        "init_std": 0.02,
        "tied_embeddings": True,
        "dropout": 0.0,
    },
    "objective": {"kind": "causal", "masked_share": 0.15, "next_sentence": False, "fill_in_the_middle": 0.0},
    "training": {
        "batch_sequences": 8,
        "micro_batch": 2,
        "precision": "bf16",
        "deterministic": True,
        "attention": "sdpa",
        "documents_apart": False,
        "compile": False,
        "activation_checkpointing": False,
        "schedule": {"shape": "wsd", "peak": 0.01, "warmup": 4, "decay": 0.5, "final": 0.0},
        "optimizer": "adamw",
        "betas": [0.9, 0.95],
        "epsilon": 1e-8,
        "momentum": 0.95,
        "weight_decay": 0.1,
        "clip": 1.0,
        "z_loss": 0.0,
        "label_smoothing": 0.0,
        "adversarial": 0.0,
        "averaging": {"method": "none", "decay": 0.9, "points": 3, "every": 2},
        "held_out": {"rows": 0, "every": 4, "patience": 0},
        "spikes": {"action": "skip", "deviations": 6.0, "window": 128, "limit": 3, "every": 4},
    },
}


def changed(**changes: Any) -> dict[str, Any]:
    """``PARAMS`` with other values; a section's are given as a mapping."""
    values: dict[str, Any] = json.loads(json.dumps(PARAMS))
    for name, change in changes.items():
        values[name] = {**values[name], **change} if isinstance(change, dict) else change
    return values


def prepare(
    folder: Path, rows: int = ROWS, every: int = 3, asynchronous: bool = False, execution: str = "", **changes: Any
) -> Path:
    """A project's folder with packed tokens, a tokenizer's vocabulary, and params.yaml; gives the folder.

    Args:
        folder: To be made.
        rows: Of the packed tokens.
        every: Steps between checkpoints.
        asynchronous: Whether these are written while training goes on.
        execution: More lines of the profile.
        changes: To ``PARAMS``.
    """
    packed, tokenizer = folder / "tokens", folder / "tokenizer"
    packed.mkdir(parents=True)
    tokenizer.mkdir()
    generator = np.random.default_rng(0)
    ids = generator.integers(8, VOCABULARY, (rows, CONTEXT + 1)).astype(tokens.narrowest(VOCABULARY))
    ids[:, 0] = 1  # a row begins a document, and with what is said again, another
    ids[:, 9:] = ids[:, :8]  # something to learn
    ids[::7, 14:] = 3  # padding
    tokens.write(packed / "00000.npy", packed / "00000.index.parquet", ids, [tokens.Span("a", 0, ids.size, 0)])
    description: dict[str, Any] = {"context": CONTEXT, "vocab_size": VOCABULARY, "pad_id": 3, "tokens": ids.size}
    description["shards"] = [{"rows": rows}]
    vocabulary = {"model": {"vocab": {str(token): token for token in range(VOCABULARY)}}, "added_tokens": []}
    (tokenizer / "tokenizer.json").write_text(json.dumps(vocabulary))
    (tokenizer / "tokenizer_config.json").write_text("{}")
    description["tokenizer"] = fingerprint.file_hash(tokenizer / "tokenizer.json")
    describe(packed, description)
    (folder / "params.yaml").write_text(yaml.safe_dump({"pretrain": changed(**changes)}))
    saving = f"every: {every}, keep_last: 2, asynchronous: {str(asynchronous).lower()}"
    (folder / "saving.yaml").write_text(f"saving: {{{saving}}}\n{execution}")
    return folder


def describe(packed: Path, description: dict[str, Any]) -> None:
    """Write the description of the one shard of packed tokens as it stands."""
    (shard,) = description["shards"]
    shard |= tokens.described(packed / "00000.npy", packed / "00000.index.parquet")
    (packed / tokens.DESCRIPTION).write_text(json.dumps(description))


def profile(folder: Path, processes: int, name: str) -> Path:
    """An execution profile for what :func:`prepare` made, with a work area ``name``."""
    path = folder / f"{name}.yaml"
    lines = [f"processes: {processes}", f"work: {folder / name}", "workers: 1", "threads: 1", "work_limit_gb: 1"]
    path.write_text("\n".join([*lines, (folder / "saving.yaml").read_text()]))
    return path


def flags(name: str) -> list[str]:
    """The stage's command line for a result called ``name``, in the project's folder."""
    made = [
        "--model",
        f"{name}.model",
        "--snapshots",
        f"{name}.snapshots",
        "--log",
        f"{name}.csv",
        "--spikes",
        f"{name}.spikes.json",
        "--metrics",
        f"{name}.json",
    ]
    return ["--tokens", "tokens", "--tokenizer", "tokenizer", "--earlier", "earlier", *made]


def fork(folder: Path, processes: int, name: str) -> list[int]:
    """Start the processes of one attempt; gives their ids."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(processes):
        child = os.fork()
        if not child:
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_PORT": port}
            os.environ.update({key: str(value) for key, value in place.items()} if processes > 1 else {})
            os.environ.update({"MASTER_ADDR": "127.0.0.1", "HEADWATER_PROFILE": str(profile(folder, 1, name))})
            try:
                attempt(folder, name)
            except BaseException as error:
                print(repr(error), flush=True)
                os._exit(1)
            os._exit(0)
        started.append(child)
    return started


def attempt(folder: Path, name: str) -> None:
    """The stage itself, in this process."""
    from stages import pretrain
    from stages.core import params

    os.chdir(folder)
    runtime.profile.cache_clear()
    values = params.load(pretrain.Params, "pretrain")
    paths = {"tokens": Path("tokens"), "tokenizer": Path("tokenizer"), "earlier": Path("earlier")}
    paths |= {
        "model": Path(f"{name}.model"),
        "snapshots": Path(f"{name}.snapshots"),
        "log": Path(f"{name}.csv"),
        "spikes": Path(f"{name}.spikes.json"),
    }
    pretrain.run(values, **paths)


def main(folder: Path, processes: int, kills: int, seed: int) -> None:
    """See the module."""
    import stages.pretrain  # noqa: F401 - before the forks

    began = time.monotonic()
    assert all(os.waitpid(child, 0)[1] == 0 for child in fork(folder, processes, "whole"))
    step = (time.monotonic() - began) / PARAMS["steps"]
    generator = random.Random(seed)
    for _ in range(kills):
        before = saved(folder)
        children = fork(folder, processes, "killed")
        if generator.random() < 0.8:  # otherwise before it has done anything, or while it loads
            while saved(folder) <= before:
                time.sleep(0.001)
        time.sleep(generator.uniform(0, 2 * step))
        for child in children:
            os.kill(child, signal.SIGKILL)
        codes = [os.waitpid(child, 0)[1] for child in children]
        assert any(codes), "there was nothing left to kill"
        print(f"killed with {sorted(saved(folder))}", flush=True)
    codes = [os.waitpid(child, 0)[1] for child in fork(folder, processes, "killed")]
    assert not any(codes)


def saved(folder: Path) -> set[str]:
    """Names of the checkpoints of the run that is killed, whole or not."""
    return {path.name for path in (folder / "killed").glob("pretrain/*/step-*")}


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
