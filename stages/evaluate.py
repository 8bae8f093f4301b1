"""Measure the models on held-out documents: bits per byte, tasks of lm-evaluation-harness, samples of their text."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.stage import Metrics, main
from stages.scoring import (
    cloze,
    comparison,
    compression,
    generation,
    harness,
    learning_curve,
    memorisation,
    one_model,
    sample,
    together,
)
from stages.scoring.likelihood import Windows, writes
from stages.scoring.one_model import Asked, Known, build


@params
class Params:
    sample: sample.Sample
    """Which held-out documents are evaluated."""
    windows: Windows
    """How texts are cut for the models."""
    cloze: cloze.Cloze
    """The task made from the held-out documents."""
    tasks: tuple[str, ...]
    """More tasks, by name: of the YAML files in incoming/evaluation, or any that lm-evaluation-harness has."""
    chat_template: harness.ChatTemplate
    """For which models a task that asks for text puts its question as the user of a conversation: those that were
    tuned to answer one, all, or none; the others continue the question as text."""
    curve: learning_curve.Curve
    """What snapshots of pretraining are measured on."""
    samples: generation.Samples
    """Texts written by the models."""
    together: together.Together
    """Several models as one."""
    memorisation: memorisation.Memorisation
    """What the models repeat of their training data, and whether they write listed words."""


def run(
    params: Params,
    *,
    pretrained: Path,
    tuned: Path,
    snapshots: Path,
    log: Path,
    heldout: Path,
    training: Path,
    tokens: Path,
    tasks: Path,
    results: Path,
) -> Metrics:
    """Evaluate both models in fp32; one that does not write, such as a classifier, was measured by the stage before.

    Args:
        pretrained: folder of the pretrained model
        tuned: folder of the fine-tuned model
        snapshots: folder of models at earlier steps of pretraining
        log: CSV file with the tokens of every step of pretraining
        heldout: folder of held-out document shards
        training: folder of the training documents
        tokens: folder of packed tokens
        tasks: folder of the user's own tasks, YAML as lm-evaluation-harness reads it
        results: folder for all figures, samples and the tasks made here
    """
    models = {name: folder for name, folder in (("pretrained", pretrained), ("tuned", tuned)) if writes(folder)}
    if params.together.models:
        folders = together.folders(params.together, "evaluate", {name: [one] for name, one in models.items()}, tasks)
        if silent := [folder for folder in folders if not writes(folder)]:
            raise HeadwaterError(f"{silent[0]}: writes no text; finetune.together measures such models")
        models["together"] = build("together", together.make, params.together, folders, model="model").outputs["model"]
    chosen = build("sample", sample.select, params.sample, shards.files(heldout), documents="documents.parquet")
    documents = chosen.outputs["documents"]
    made = build("cloze", cloze.make, params.cloze, [documents], tasks="tasks")
    wanted = harness.Tasks(names=params.tasks, chat_template=params.chat_template, windows=params.windows)
    asked = Asked(wanted, documents, made.outputs["tasks"], tasks)
    known = {name: one_model.measure(name, model, asked) for name, model in models.items()}
    continued = memorisation.Continued(memorisation=params.memorisation, windows=params.windows)
    for name, model in models.items():
        inputs = [model, tokens, training, documents]
        repeated = build("memorisation", memorisation.measure, continued, inputs, figures=f"{name}.json")
        known[name].figures["memorisation"] = one_model.read(repeated.outputs["figures"])
    compressed = build("compression", compression.measure, None, [documents], figures="compression.json")
    everything = {
        "models": {name: one.figures for name, one in known.items()},
        "compressors": one_model.read(compressed.outputs["figures"]),
        "cloze": made.metrics,
        "tuning": _tuning(known),
    }
    _publish(results, everything, known, made.outputs["tasks"], _samples(params, models, documents))
    curve = learning_curve.measure(params.curve, sorted(snapshots.iterdir()), asked) if "pretrained" in known else {}
    learning_curve.write(results / "learning_curve.csv", log, curve, known.get("pretrained"))
    summary = {name: one_model.summary(one.figures) for name, one in known.items()}
    shared = {name: everything[name] for name in ("cloze", "tuning")}
    return {**chosen.metrics, **summary, "bits_per_byte": _bars(everything), **shared}


def _samples(params: Params, models: dict[str, Path], documents: Path) -> str:
    """What the models write, as JSON lines."""
    written = [
        build(f"samples-{name}", function, params.samples, [models[name], documents], samples=f"{name}.jsonl")
        for name, function in (("pretrained", generation.continuations), ("tuned", generation.answers))
        if name in models
    ]
    return "".join(one.outputs["samples"].read_text("utf-8") for one in written)


def _tuning(known: dict[str, Known]) -> dict[str, Any]:
    """What tuning made of every figure."""
    if not {"pretrained", "tuned"} <= known.keys():
        return {}
    files = [file for name in ("pretrained", "tuned") for file in (known[name].scores, known[name].questions)]
    compared = build("comparison", comparison.write, None, files, differences="differences.json")
    return dict(one_model.read(compared.outputs["differences"]))


def _bars(everything: dict[str, Any]) -> dict[str, float]:
    """Bits per byte of all evaluated documents, for each model and compressor."""
    models = {name: found["overall"]["all"]["bits_per_byte"] for name, found in everything["models"].items()}
    return {**models, **everything["compressors"]["overall"]["all"]}


def _publish(results: Path, everything: dict[str, Any], known: dict[str, Known], tasks: Path, samples: str) -> None:
    if results.exists():
        shutil.rmtree(results)
    shards.publish_file(tasks, results / "tasks")
    for path in (file for one in known.values() for file in (one.scores, one.questions, one.answers)):
        shards.publish_file(path, results / path.name)
    (results / "results.json").write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n", "utf-8")
    (results / "samples.jsonl").write_text(samples, "utf-8")
    with (results / "bits_per_byte.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("name", "bits_per_byte"))
        table.writerows(_bars(everything).items())


if __name__ == "__main__":
    main(run)
