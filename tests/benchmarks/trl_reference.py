"""Fine-tuning beside TRL: same model, same rows in the same batches, loss by step.

    pip install trl
    python -m tests.benchmarks.trl_reference [--model data/pretrain/model] [--rows 240] [--threads 1]

Trains `chat` and `preference` by the stage and by TRL's SFTTrainer and DPOTrainer, on questions and answers of
../shared/data/finetuning/instructions.parquet, in float32 with AdamW. TRL reads the same conversations as text and
makes ids of them by the tokenizer's chat template. Of pairs the rejected answer is that of the next question. Prints
for each step both losses, and how far apart they are at most and in the mean: with TRL 1.16, the demo's model and 80
rows, nowhere more than 0.00005.
"""

import argparse
import csv
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import torch
import transformers
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from stages import finetune
from stages.core import params, runtime

DATA = Path("../shared/data/finetuning/instructions.parquet")
LONGEST = 500  # characters of a question and its answer, so that none is cut by either
BATCH = 8
PEAK = {"chat": 1e-3, "preference": 3e-4}
BETA = 0.1


def turn(role: str, content: str) -> dict[str, str]:
    """A message."""
    return {"role": role, "content": content}


def rows(count: int) -> dict[str, list[dict[str, Any]]]:
    """Rows of both tasks."""
    read = pq.read_table(DATA, columns=["prompt", "completion"]).to_pylist()
    cleaned = [(row["prompt"].strip(), row["completion"].removesuffix("<|endoftext|>").strip()) for row in read]
    pairs = [pair for pair in cleaned if all(pair) and len("".join(pair)) <= LONGEST]
    chosen = pairs[:: max(1, len(pairs) // count)][:count]
    conversations = [{"messages": [turn("user", ask), turn("assistant", answer)]} for ask, answer in chosen]
    others = [answer for _, answer in [*chosen[1:], chosen[0]]]
    compared = [
        {"prompt": ask, "chosen": answer, "rejected": other if other != answer else "I do not know."}
        for (ask, answer), other in zip(chosen, others, strict=True)
    ]
    return {"chat": conversations, "preference": compared}


def settings(task: str) -> finetune.Params:
    """Those of params.yaml, as plain as TRL's."""
    values = params.read()["finetune"]
    values |= {"task": task, "data": "incoming", "packed": False, "epochs": 1, "preference": {"beta": BETA}}
    values["rows"] |= {"most": 1_000_000}
    values["training"] |= {
        "batch_sequences": BATCH,
        "micro_batch": BATCH,
        "precision": "fp32",
        "documents_apart": False,
        "schedule": {"shape": "linear", "peak": PEAK[task], "warmup": 0, "decay": 1.0, "final": 0.0},
        "optimizer": "adamw",
        "weight_decay": 0.0,
    }
    return params.check(finetune.Params, values, "params.yaml: finetune")


def ours(task: str, model: Path, given: list[dict[str, Any]], folder: Path) -> tuple[list[float], list[int]]:
    """The stage's loss of each step, and the rows in the order in which it saw them, batch after batch."""
    for name in ("documents", "tokens", "brought"):
        (folder / name).mkdir(parents=True)
    (folder / "brought" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given), "utf-8")
    files = {"log": "log.csv", "spikes": "spikes.json", "seen": "seen.parquet", "tuned": "tuned"}
    inputs = {"documents": folder / "documents", "tokens": folder / "tokens", "conversations": folder / "brought"}
    finetune.run(settings(task), model=model, **inputs, **{name: folder / file for name, file in files.items()})
    with (folder / "log.csv").open(encoding="utf-8") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    sources = pq.read_table(folder / "seen.parquet")["source"].to_pylist()
    return losses, [int(source.rpartition(" ")[2]) - 1 for source in sources]


def theirs(task: str, model: Path, given: list[dict[str, Any]], folder: Path) -> list[float]:
    """TRL's loss of each step on rows in that order."""
    network = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    shared: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": 1,
        "learning_rate": PEAK[task],
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "adam_beta2": 0.95,
        "max_grad_norm": 1.0,
        "bf16": False,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "train_sampling_strategy": "sequential",
        "max_length": 256,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }
    trainer: Any
    if task == "chat":
        table = [{"prompt": row["messages"][:1], "completion": row["messages"][1:]} for row in given]
        wanted = SFTConfig(completion_only_loss=True, **shared)
        data = datasets.Dataset.from_list(table)
        trainer = SFTTrainer(network, wanted, train_dataset=data, processing_class=tokenizer)
    else:
        table = [
            {
                "prompt": [turn("user", row["prompt"])],
                "chosen": [turn("assistant", row["chosen"])],
                "rejected": [turn("assistant", row["rejected"])],
            }
            for row in given
        ]
        compared = DPOConfig(beta=BETA, **shared)
        data = datasets.Dataset.from_list(table)
        trainer = DPOTrainer(network, args=compared, train_dataset=data, processing_class=tokenizer)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("data/pretrain/model"))
    parser.add_argument("--rows", type=int, default=240)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        profile = folder / "profile.yaml"
        profile.write_text(f"workers: 1\nthreads: {arguments.threads}\nwork: {folder / 'work'}\n", "utf-8")
        os.environ["HEADWATER_PROFILE"] = str(profile)
        runtime.profile.cache_clear()
        for task, given in rows(arguments.rows).items():
            here, order = ours(task, arguments.model, given, folder / task)
            there = theirs(task, arguments.model, [given[row] for row in order], folder / f"trl {task}")
            apart = np.abs(np.array(here) - np.array(there))
            print(f"{task}: {len(order)} rows in {len(here)} steps; loss here, TRL's")
            for step, (one, other) in enumerate(zip(here, there, strict=True), start=1):
                print(f"  {step:>4} {one:.4f} {other:.4f}")
            print(f"{task}: at most {apart.max():.4f} apart, in the mean {apart.mean():.4f}", flush=True)


if __name__ == "__main__":
    main()
