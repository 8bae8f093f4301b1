"""What a pretrained model is worth where there are few labels: sentiment of film reviews (SST-2).

    python -m tests.benchmarks.finetuning [--model data/pretrain/model] [--rows 2000 20000] [--epochs 2] [--threads 1]

Trains the stage `finetune` with `task: classify` on phrases of SST-2 from a pretrained model and, in the same way, from
random weights of the same shape, and a logistic regression on words and pairs of words of the same rows. Each is
trained with every one of its `--peaks` (learning rates; of the regression as many strengths of its penalty), and the
best on phrases of dev.csv is taken; the test file has no part in that. Prints for each accuracy, precision, recall and
F1 of the 872 sentences of the test file, with 95 % intervals, and processor time; and whether the difference between
two models' accuracies is more than chance (exact McNemar test). It needs ../shared/data/finetuning/sentiment.

The demo's model has read manuals, and knows no more of films than random weights do (2,000 phrases, two peaks each):
accuracy 0.634 [0.603, 0.665] against 0.632 [0.600, 0.662] (p = 0.95); bag of words 0.721 [0.694, 0.751].
"""

import argparse
import functools
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from stages import finetune
from stages.core import params, runtime
from stages.scoring import classification, prediction
from stages.text import labelled, sampling, tables, tokenizers
from stages.text.augmentation import Labelled
from stages.training import model as models

DATA = Path("../shared/data/finetuning/sentiment")
DEV = "dev.csv"
DEV_ROWS = 2000
STRENGTHS = (10, 3, 30, 1, 100)  # of the regression's penalty, inverse
SHOWN = ("accuracy", "precision_macro", "recall_macro", "f1_macro")


class Told(NamedTuple):
    """What a model says of the test file."""

    guessed: list[int]
    chosen: str
    """What was best on dev.csv."""
    accuracy: float
    """On dev.csv."""


def settings(rows: int, epochs: int, peak: float) -> finetune.Params:
    """Those of params.yaml, with what the task needs."""
    values = params.read()["finetune"]
    values |= {"task": "classify", "data": "incoming", "epochs": epochs}
    values["rows"] |= {"most": rows, "test": {"file": DEV, "share": 0.0}}
    values["training"] |= {"batch_sequences": 32, "micro_batch": 32, "weight_decay": 0.1}
    values["training"]["schedule"] |= {"peak": peak, "warmup": 20}
    return params.check(finetune.Params, values, "params.yaml: finetune")


def random_weights(model: Path, folder: Path) -> Path:
    """A model of the same shape that has learned nothing."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model)).save_pretrained(folder)
    models.copy_tokenizer(model, folder)
    return folder


def tuned(choices: Sequence[finetune.Params], model: Path, folder: Path, brought: Path) -> Told:
    """What the model says that is best on the phrases of dev.csv, of one for each choice."""
    for name in ("documents", "tokens"):
        (folder / name).mkdir(parents=True)
    inputs = {"documents": folder / "documents", "tokens": folder / "tokens", "conversations": brought}
    files = {"log": "log.csv", "spikes": "spikes.json", "seen": "seen.parquet"}
    found = []
    for number, wanted in enumerate(choices):
        own = folder / f"{number}"
        own.mkdir()
        outputs = {"tuned": own / "tuned", **{name: own / file for name, file in files.items()}}
        figures = finetune.run(wanted, model=model, **inputs, **outputs)["test"]
        found.append((figures["accuracy"]["value"], -number))
    accuracy, place = max(found)
    network = AutoModelForSequenceClassification.from_pretrained(folder / f"{-place}" / "tuned")
    tokenizer = tokenizers.load(model)
    examples = [labelled.encode(tokenizer, row, {"0": 0, "1": 1}, limit=256) for row in tested(choices[0])]
    guessed = [int(said.argmax()) for said in prediction.logits(network, examples)]
    return Told(guessed, f"peak {choices[-place].training.schedule.peak:g}", accuracy)


def bag_of_words(choices: Sequence[finetune.Params], brought: Path) -> Told:
    """The same of a logistic regression on words and pairs of words, weighed by how rare they are."""
    wanted = choices[0]
    given = sampling.gather(brought, wanted.rows, wanted.seed, labelled.classes)
    learned, held = ([(row.words[0], int(row.labels[0])) for row in rows] for rows in (given.learned, given.tested))
    bag = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True)
    inputs, true = bag.fit_transform([text for text, _ in learned]), [label for _, label in learned]
    found = []
    for strength in STRENGTHS[: len(choices)]:
        fitted = LogisticRegression(C=strength, max_iter=1000).fit(inputs, true)
        found.append((fitted.score(bag.transform([text for text, _ in held]), [label for _, label in held]), fitted))
    accuracy, best = max(found, key=lambda one: one[0])
    guessed = best.predict(bag.transform([row.words[0] for row in tested(wanted)])).tolist()
    return Told(guessed, f"C {best.C:g}", accuracy)


def tested(wanted: finetune.Params) -> list[Labelled]:
    """The sentences of the test file, with their classes."""
    columns = wanted.rows.columns
    return [labelled.classes(row, columns) for row in tables.read([DATA / "test.csv"], columns)]


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
    parser.add_argument("--peaks", type=float, nargs="+", default=[5e-4, 2e-3], help="highest learning rates")
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
        shutil.copyfile(DATA / "train.csv", brought / "train.csv")
        lines = (DATA / DEV).read_text("utf-8").splitlines(keepends=True)  # no phrase has a line break
        (brought / DEV).write_text("".join(lines[: DEV_ROWS + 1]), "utf-8")
        starts = {"pretrained": arguments.model, "random weights": random_weights(arguments.model, folder / "random")}
        for rows in arguments.rows:
            choices = [settings(rows, arguments.epochs, peak) for peak in arguments.peaks]
            true = np.array([int(row.labels[0]) for row in tested(choices[0])])
            print(f"{rows:,} phrases, {arguments.epochs} epochs, peaks {arguments.peaks}")
            said: dict[str, list[int]] = {}
            makers: dict[str, Callable[[], Told]] = {
                name: functools.partial(tuned, choices, model, folder / f"{rows}-{name}", brought)
                for name, model in starts.items()
            }
            makers["bag of words"] = functools.partial(bag_of_words, choices, brought)
            for name, make in makers.items():
                began = time.process_time()
                told = make()
                said[name] = told.guessed
                show(name, told, true, time.process_time() - began)
            for name in ("random weights", "bag of words"):
                print(f"  pretrained or {name}: p = {told_apart(true, said['pretrained'], said[name]):.2g}")


def show(name: str, told: Told, true: np.ndarray[Any, Any], seconds: float) -> None:
    """Print the figures of one model."""
    figures = classification.classes(true, np.array(told.guessed), ("0", "1"))
    shown = [
        f"{kind} {figures[kind]['value']:.3f} [{figures[kind]['interval'][0]:.3f}, {figures[kind]['interval'][1]:.3f}]"
        for kind in SHOWN
    ]
    how = f"{told.chosen}, {told.accuracy:.3f} on dev"
    print(f"  {name:<15} {', '.join(shown)}; {how}; {seconds:.0f} s of processor time", flush=True)


if __name__ == "__main__":
    main()
