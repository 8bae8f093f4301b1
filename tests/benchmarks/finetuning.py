"""What a pretrained model is worth where there are few labels: sentiment of film reviews (SST-2).

    python -m tests.benchmarks.finetuning [--model data/pretrain/model] [--rows 2000 20000] [--epochs 2] [--threads 1]

Trains the stage `finetune` with `task: classify` on phrases of SST-2 from a pretrained model and, in the same way, from
random weights of the same shape, and a logistic regression on words and pairs of words of the same rows. Prints for
each accuracy, precision, recall and F1 of the 872 sentences of the test file, with 95 % intervals, and processor time;
and whether the difference between two models' accuracies is more than chance (exact McNemar test). It needs
../shared/data/finetuning/sentiment.
"""

import argparse
import csv
import math
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from stages import finetune
from stages.core import params, runtime
from stages.scoring import classification, prediction
from stages.text import labelled, sampling, tables, tokenizers
from stages.training import model as models

DATA = Path("../shared/data/finetuning/sentiment")
SHOWN = ("accuracy", "precision_macro", "recall_macro", "f1_macro")


def settings(rows: int, epochs: int, peak: float) -> finetune.Params:
    """Those of params.yaml, with what the task needs."""
    values = params.read()["finetune"]
    values |= {"task": "classify", "data": "incoming", "epochs": epochs}
    values["rows"] |= {"most": rows, "test": {"file": "test.csv", "share": 0.0}}
    values["training"] |= {"batch_sequences": 32, "micro_batch": 32, "weight_decay": 0.1}
    values["training"]["schedule"] |= {"peak": peak, "warmup": 20}
    return params.check(finetune.Params, values, "params.yaml: finetune")


def random_weights(model: Path, folder: Path) -> Path:
    """A model of the same shape that has learned nothing."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model)).save_pretrained(folder)
    models.copy_tokenizer(model, folder)
    return folder


def tuned(wanted: finetune.Params, model: Path, folder: Path, brought: Path) -> tuple[dict[str, Any], list[int]]:
    """Figures of the test file, and what is said of each of its rows."""
    for name in ("documents", "tokens"):
        (folder / name).mkdir(parents=True)
    files = {"log": "log.csv", "spikes": "spikes.json", "seen": "seen.parquet"}
    outputs = {"tuned": folder / "tuned", **{name: folder / file for name, file in files.items()}}
    inputs = {"documents": folder / "documents", "tokens": folder / "tokens", "conversations": brought}
    metrics = finetune.run(wanted, model=model, **inputs, **outputs)
    tokenizer = tokenizers.load(model)
    held = [
        labelled.classes(row, wanted.rows.columns) for row in tables.read([brought / "test.csv"], wanted.rows.columns)
    ]
    examples = [labelled.encode(tokenizer, row, {"0": 0, "1": 1}, limit=256) for row in held]
    network = AutoModelForSequenceClassification.from_pretrained(folder / "tuned")
    return metrics["test"], [int(said.argmax()) for said in prediction.logits(network, examples)]


def bag_of_words(wanted: finetune.Params, brought: Path) -> tuple[dict[str, Any], list[int]]:
    """The same of a logistic regression on words and pairs of words, weighed by how rare they are."""
    given = sampling.gather(brought, wanted.rows, wanted.seed, labelled.classes)
    learned, held = ([(row.words[0], int(row.labels[0])) for row in rows] for rows in (given.learned, given.tested))
    bag = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True)
    inputs = bag.fit_transform([text for text, _ in learned])
    said = LogisticRegression(C=10, max_iter=1000).fit(inputs, [label for _, label in learned])
    guessed = said.predict(bag.transform([text for text, _ in held]))
    return classification.classes(np.array([label for _, label in held]), guessed, ("0", "1")), guessed.tolist()


def told_apart(true: np.ndarray[Any, Any], one: list[int], other: list[int]) -> float:
    """How likely chance alone makes two models' accuracies differ as much (McNemar's exact test, two-sided)."""
    only_one, only_other = int((np.array(one) == true).sum()), int((np.array(other) == true).sum())
    both = int(((np.array(one) == true) & (np.array(other) == true)).sum())
    only_one, only_other = only_one - both, only_other - both
    count, least = only_one + only_other, min(only_one, only_other)
    return min(1.0, 2 * sum(math.comb(count, k) for k in range(least + 1)) / 2**count) if count else 1.0


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("data/pretrain/model"))
    parser.add_argument("--rows", type=int, nargs="+", default=[2000, 20000])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--peak", type=float, default=5e-4, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        profile = folder / "profile.yaml"
        profile.write_text(f"workers: 1\nthreads: {arguments.threads}\nwork: {folder / 'work'}\n", "utf-8")
        os.environ["HEADWATER_PROFILE"] = str(profile)
        runtime.profile.cache_clear()
        brought = folder / "brought"
        brought.mkdir()
        for name in ("train.csv", "test.csv"):
            shutil.copyfile(DATA / name, brought / name)
        starts = {"pretrained": arguments.model, "random weights": random_weights(arguments.model, folder / "random")}
        with (brought / "test.csv").open(encoding="utf-8") as file:
            true = np.array([int(row["label"]) for row in csv.DictReader(file)])
        for rows in arguments.rows:
            wanted = settings(rows, arguments.epochs, arguments.peak)
            print(f"{rows:,} phrases, {arguments.epochs} epochs, peak {arguments.peak}")
            said = {}
            for name, model in starts.items():
                began = time.process_time()
                figures, said[name] = tuned(wanted, model, folder / f"{rows}-{name}", brought)
                show(name, figures, time.process_time() - began)
            began = time.process_time()
            figures, said["bag of words"] = bag_of_words(wanted, brought)
            show("bag of words", figures, time.process_time() - began)
            for name in ("random weights", "bag of words"):
                print(f"  pretrained or {name}: p = {told_apart(true, said['pretrained'], said[name]):.2g}")


def show(name: str, figures: dict[str, Any], seconds: float) -> None:
    """Print the figures of one model."""
    shown = [
        f"{kind} {figures[kind]['value']:.3f} [{figures[kind]['interval'][0]:.3f}, {figures[kind]['interval'][1]:.3f}]"
        for kind in SHOWN
    ]
    print(f"  {name:<15} {', '.join(shown)}; {seconds:.0f} s of processor time", flush=True)


if __name__ == "__main__":
    main()
