"""How fast the training loop is, beside a bare PyTorch loop and transformers' Trainer.

    python -m tests.benchmarks.training loops [--steps 12] [--rounds 3] [--hidden 384] [--context 512]
    python -m tests.benchmarks.training step [--steps 12] [--hidden 384] [--context 512]
    python -m tests.benchmarks.training loss

``loops`` trains the same model on the same rows with the same optimizer, AdamW, in turn, each in a process of its own,
and prints tokens a second of wall and of processor time, the share of the measured matmul peak, and peak memory; this
loop also with Muon, the demo's optimizer, whose own matrix products do not count as the model's. ``step`` says how
long a run takes from the start of its process to the end of its first step, which share of a step goes into reading
packed rows, and which share of the time into saving at the default interval. ``loss`` times the output layer's loss
beside PyTorch's. It prints, and asserts no time.
"""

import argparse
import contextlib
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml
from torch.nn import functional

from stages.core import params, runtime, tokens
from stages.core.order import Integers
from stages.training import model as models
from stages.training.checkpoint import Checkpoints
from stages.training.data import Rows, Split
from stages.training.flops import flops_per_token
from stages.training.loop import train
from stages.training.loss import Penalties, output_loss
from stages.training.objective import Objective, Reader
from stages.training.packed import Packed
from stages.training.run import Run
from stages.training.settings import Training
from stages.training.speed import matmul_peak

VOCABULARY, BATCH, MICRO = 8192, 16, 8


class Random:
    """Rows of random ids."""

    def __init__(self, rows: int, context: int) -> None:
        self.ids = np.random.default_rng(0).integers(8, VOCABULARY, (rows, context + 1))

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        """Those rows."""
        return Rows(self.ids[indices, :-1], self.ids[indices, 1:])

    def sources(self, indices: Integers) -> list[str]:
        """Nothing: they come from nowhere."""
        return []


class Clock:
    """Wall and processor seconds since the end of the first step, which warms up."""

    def __init__(self) -> None:
        self.began: tuple[float, float] | None = None

    def step(self) -> None:
        """A step begins."""
        if self.began is None:
            self.began = (time.perf_counter(), time.process_time())

    def seconds(self) -> tuple[float, float]:
        """Until now."""
        assert self.began is not None
        return time.perf_counter() - self.began[0], time.process_time() - self.began[1]


def settings(**changes: Any) -> Training:
    """Those of the demo, for this benchmark's batches."""
    values = yaml.safe_load(Path("params.yaml").read_text("utf-8"))["pretrain"]["training"]
    values |= {"batch_sequences": BATCH, "micro_batch": MICRO, "attention": "sdpa", **changes}
    return params.check(Training, values, "training")


def architecture(hidden: int) -> models.Architecture:
    """A Llama; at width 384 of 14 million parameters."""
    values = yaml.safe_load(Path("params.yaml").read_text("utf-8"))["pretrain"]["model"]
    values |= {"hidden": hidden, "layers": 6, "heads": hidden // 64, "kv_heads": hidden // 64}
    return params.check(models.Architecture, values | {"intermediate": hidden * 8 // 3 // 64 * 64}, "model")


def this_loop(model: Any, data: Random, steps: int, folder: Path, optimizer: str = "adamw") -> tuple[float, float]:
    """The project's own."""
    clock, chosen = Clock(), settings(optimizer=optimizer)

    class Timed(Random):
        calls = 0

        def rows(self, indices: Integers, positions: Integers) -> Rows:
            self.calls += 1
            if self.calls > BATCH // MICRO:
                clock.step()
            return data.rows(indices, positions)

    train(model, Timed(len(data), 1), chosen, steps=steps + 1, seed=1, area=folder, label="benchmark")
    return clock.seconds()


def bare_loop(model: Any, data: Random, steps: int, folder: Path) -> tuple[float, float]:
    """As one writes it by hand: no checkpoints, no determinism, no check of anything."""
    clock, optimizer = Clock(), torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1, fused=True)
    torch.set_num_threads(runtime.profile().threads)
    model.set_attn_implementation("sdpa")
    for step in range(steps + 1):
        if step:
            clock.step()
        for start in range(0, BATCH, MICRO):
            places = np.arange(step * BATCH + start, step * BATCH + start + MICRO) % len(data)
            ids, labels = (torch.from_numpy(part) for part in data.rows(places, places)[:2])
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(input_ids=ids, use_cache=False).logits
            loss = functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten()) * MICRO / BATCH
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return clock.seconds()


def trainer(model: Any, data: Random, steps: int, folder: Path) -> tuple[float, float]:
    """Trainer of transformers, with what makes it comparable."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    clock = Clock()
    torch.set_num_threads(runtime.profile().threads)
    model.set_attn_implementation("sdpa")

    class Watch(TrainerCallback):
        def on_step_begin(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
            if state.global_step:
                clock.step()

    rows = [{"input_ids": row[:-1], "labels": row[:-1]} for row in data.ids]
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=steps + 1, per_device_train_batch_size=MICRO, optim="adamw_torch_fused",
        gradient_accumulation_steps=BATCH // MICRO, bf16=True, use_cpu=True, report_to=[], save_strategy="no",
        logging_steps=10**6, disable_tqdm=True, dataloader_num_workers=0,
    )  # fmt: skip
    with contextlib.redirect_stdout(sys.stderr):
        Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[Watch()]).train()
    return clock.seconds()


LOOPS: dict[str, Callable[[Any, Random, int, Path], tuple[float, float]]] = {
    "this loop": this_loop,
    "bare loop": bare_loop,
    "Trainer": trainer,
    "with Muon": functools.partial(this_loop, optimizer="muon"),
}


def one(name: str, arguments: argparse.Namespace) -> None:
    """Run one loop in this process; prints its figures as JSON."""
    warnings.simplefilter("ignore")
    model = models.build(
        architecture(arguments.hidden), vocab_size=VOCABULARY, context=arguments.context, seed=1
    ).train()
    data = Random(BATCH * (arguments.steps + 1), arguments.context)
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = LOOPS[name](model, data, arguments.steps, Path(folder))
    tokens = arguments.steps * BATCH * arguments.context
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    flops = flops_per_token(model, arguments.context) * tokens / wall
    peak = matmul_peak(torch.device("cpu"), "bf16")
    print(json.dumps({"wall": tokens / wall, "cpu": tokens / cpu, "mfu": flops / peak, "memory": memory}))


def loops(arguments: argparse.Namespace) -> None:
    """All of them in turn."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in LOOPS}
    flags = [f"--{name}={getattr(arguments, name)}" for name in ("threads", "steps", "hidden", "context")]
    for _ in range(arguments.rounds):
        for name in LOOPS:
            command = [sys.executable, "-m", "tests.benchmarks.training", "loops", "--only", name, *flags]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{'':12}{'tokens/s':>10}{'per CPU s':>11}{'of peak':>9}{'MB':>7}")
    for name, runs in found.items():
        best = {key: max(run[key] for run in runs) for key in runs[0]}
        print(f"{name:12}{best['wall']:10,.0f}{best['cpu']:11,.0f}{best['mfu']:9.0%}{best['memory']:7,.0f}")


def step(arguments: argparse.Namespace) -> None:
    """What a run takes beside its arithmetic, in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.training", "step", f"--began={time.time()}"]
    command += [f"--{name}={getattr(arguments, name)}" for name in ("threads", "steps", "hidden", "context")]
    subprocess.run(command, check=True)


def one_step(arguments: argparse.Namespace) -> None:
    """See :func:`step`."""
    spent: dict[str, list[float]] = {}

    def timed(owner: Any, name: str) -> Any:
        """A patch that notes the wall and the processor seconds of each call."""
        function = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            began, busy = time.perf_counter(), time.process_time()
            result = function(*args, **kwargs)
            taken = time.process_time() - busy
            if name == "step" and not spent.get(name):
                wall, cpu = time.time() - arguments.began, time.process_time()
                print(f"start to first step: {wall:.1f} s, {cpu:.1f} of the processor", flush=True)
            spent.setdefault(name, []).append(taken if name != "save" else time.perf_counter() - began)
            return result

        return mock.patch.object(owner, name, call)

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for owner, name in ((Split, "batch"), (Run, "_micro_batches"), (Run, "step"), (Checkpoints, "save")):
            stack.enter_context(timed(owner, name))
        rows = BATCH * (arguments.steps + 1)
        data = packed(Path(folder), Random(rows, arguments.context).ids)
        model = models.build(architecture(arguments.hidden), vocab_size=VOCABULARY, context=arguments.context, seed=1)
        steps = arguments.steps + 1
        train(model.train(), data, settings(), steps=steps, seed=1, area=Path(folder), label="benchmark")
    usual = sum(spent["step"][1:]) / arguments.steps
    read = sum(sum(spent[name][1:]) for name in ("batch", "_micro_batches")) / arguments.steps
    every = params.read(runtime.DEFAULT)["saving"]["every"]
    print(f"a step: {usual:.3f} processor seconds, {read / usual:.2%} of them for its rows")
    print(f"a checkpoint: {spent['save'][-1]:.2f} s, {spent['save'][-1] / (every * usual):.2%} of {every} steps")


def packed(folder: Path, ids: Any) -> Packed:
    """Rows as the stage pack leaves them."""
    tokens.write(
        folder / "0.npy", folder / "0.index.parquet", ids.astype(np.uint16), [tokens.Span("a", 0, ids.size, 0)]
    )
    shard = tokens.described(folder / "0.npy", folder / "0.index.parquet") | {"rows": len(ids)}
    described = {"context": ids.shape[1] - 1, "vocab_size": VOCABULARY, "pad_id": 3, "tokens": ids.size}
    (folder / tokens.DESCRIPTION).write_text(json.dumps(described | {"shards": [shard]}))
    objective = params.check(Objective, params.read()["pretrain"]["objective"], "objective")
    return Packed(
        tokens.TokenShards(folder),
        Reader(objective, seed=1, vocab_size=VOCABULARY, first_text=8, begin=1, end=2, pad=3, documents_apart=False),
    )


def losses(arguments: argparse.Namespace) -> None:
    """The output layer and its loss, forward and backward, on one core."""
    torch.set_num_threads(1)
    penalties = Penalties(0.0, 0.0)
    options = torch.nn.LinearCrossEntropyOptions()
    ways: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
        "here": lambda h, w, y: output_loss(h, w, None, y, None, kind=torch.bfloat16, penalties=penalties)[0],
        "whole logits": lambda h, w, y: functional.cross_entropy((h.bfloat16() @ w.bfloat16().T).float(), y),
        "PyTorch's chunks": lambda h, w, y: functional.linear_cross_entropy(
            h.bfloat16(), w.bfloat16(), y, options=options
        ),
    }
    for positions, width, vocabulary in ((1024, 192, 4096), (1024, 512, 32768)):
        hidden, weight = torch.randn(positions, width).requires_grad_(), torch.randn(vocabulary, width).requires_grad_()
        labels = torch.randint(vocabulary, (positions,))
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            for name, way in ways.items():
                began = time.process_time()
                way(hidden, weight, labels).backward()
                taken[name].append(time.process_time() - began)
        shown = ", ".join(f"{name} {1000 * min(each):.1f} ms" for name, each in taken.items())
        print(f"{positions:,} positions of {width}, {vocabulary:,} ids, processor time: {shown}")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["loops", "step", "loss"])
    parser.add_argument("--only", choices=LOOPS, help="run one loop here")
    parser.add_argument("--began", type=float, help="measure here; the time at which this process was started")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--context", type=int, default=512)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        profile = Path(work) / "profile.yaml"
        lines = [f"work: {work}", f"threads: {arguments.threads}", "saving: {every: 1000000, keep_last: 1}"]
        profile.write_text("\n".join(lines), "utf-8")
        os.environ["HEADWATER_PROFILE"] = str(profile)
        if arguments.only:
            one(arguments.only, arguments)
        elif arguments.began:
            one_step(arguments)
        else:
            {"loops": loops, "step": step, "loss": losses}[arguments.what](arguments)


if __name__ == "__main__":
    main()
