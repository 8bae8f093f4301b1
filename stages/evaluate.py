"""Measure the models on held-out documents: bits per byte, tasks of lm-evaluation-harness, samples of their text."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.params import nearest, params
from stages.core.stage import Metrics, main
from stages.scoring import (
    bits_per_byte,
    cloze,
    comparison,
    compression,
    generation,
    harness,
    memorisation,
    sample,
    together,
)
from stages.scoring.likelihood import Windows, writes


@params
class Params:
    """Parameters of the stage."""

    sample: sample.Sample
    """Which held-out documents are evaluated."""
    windows: Windows
    """How texts are cut for the models."""
    cloze: cloze.Cloze
    """The task made from the held-out documents."""
    tasks: tuple[str, ...]
    """More tasks, by name: of the YAML files in incoming/evaluation, or any that lm-evaluation-harness has."""
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
        heldout: folder of held-out document shards
        training: folder of the training documents
        tokens: folder of packed tokens
        tasks: folder of the user's own tasks, YAML as lm-evaluation-harness reads it
        results: folder for all figures, samples and the tasks made here
    """
    models = {name: folder for name, folder in (("pretrained", pretrained), ("tuned", tuned)) if writes(folder)}
    if params.together.models:
        models["together"] = _together(params.together, models, tasks)
    chosen = _build("sample", sample.select, params.sample, shards.files(heldout), documents="documents.parquet")
    documents = chosen.outputs["documents"]
    compressed = _build("compression", compression.measure, None, [documents], figures="compression.json")
    made = _build("cloze", cloze.make, params.cloze, [documents], tasks="tasks")
    wanted = harness.Tasks(names=params.tasks, windows=params.windows)
    continued = memorisation.Continued(memorisation=params.memorisation, windows=params.windows)
    scores, answers, figures = [], [], {}
    for name, model in models.items():
        outputs = {"scores": f"{name}.parquet", "figures": f"{name}.json"}
        scored = _build("bits_per_byte", bits_per_byte.measure, params.windows, [model, documents], **outputs)
        inputs = [model, made.outputs["tasks"], tasks]
        outputs = {"figures": f"{name}.json", "questions": f"{name}_questions.parquet"}
        solved = _build("tasks", harness.measure, wanted, inputs, **outputs, answers=f"{name}_answers.jsonl")
        scores += [scored.outputs["scores"], solved.outputs["questions"]]
        answers.append(solved.outputs["answers"])
        inputs = [model, tokens, training, documents]
        repeated = _build("memorisation", memorisation.measure, continued, inputs, figures=f"{name}.json")
        figures[name] = {
            **_read(scored.outputs["figures"]),
            "tasks": _read(solved.outputs["figures"]),
            "memorisation": _read(repeated.outputs["figures"]),
        }
    written = [
        _build(f"samples-{name}", function, params.samples, [models[name], documents], samples=f"{name}.jsonl")
        for name, function in (("pretrained", generation.continuations), ("tuned", generation.answers))
        if name in models
    ]
    differences = {}
    if {"pretrained", "tuned"} <= models.keys():
        compared = _build("comparison", comparison.write, None, scores[:4], differences="differences.json")
        differences = _read(compared.outputs["differences"])
    compressors = _read(compressed.outputs["figures"])
    everything = {"models": figures, "compressors": compressors, "cloze": made.metrics, "tuning": differences}
    _publish(results, everything, [*scores, *answers], made.outputs["tasks"])
    texts = [one.outputs["samples"].read_text("utf-8") for one in written]
    (results / "samples.jsonl").write_text("".join(texts), "utf-8")
    summary = {name: _summary(found) for name, found in figures.items()}
    bars = _bars(figures, compressors)
    return {**chosen.metrics, **summary, "bits_per_byte": bars, "cloze": made.metrics, "tuning": differences}


def _together(chosen: together.Together, models: dict[str, Path], brought: Path) -> Path:
    """The folder of several models made one."""
    folders = [models[name] if name in models else brought / name for name in chosen.models]
    for name, folder in zip(chosen.models, folders, strict=True):
        if not folder.is_dir():
            known = [*models, *(path.name for path in brought.iterdir() if path.is_dir())]
            raise HeadwaterError(f"params.yaml: evaluate.together.models: no model {name!r}{nearest(name, known)}")
    return _build("together", together.make, chosen, folders, model="model").outputs["model"]


def _build(part: str, function: shards.Function, params: Any, inputs: Sequence[Path], **outputs: str) -> shards.Built:
    """One part of the evaluation, committed on its own: a killed stage continues with the part it was in."""
    (built,) = shards.build(function, params, [shards.Unit(tuple(inputs), outputs)], label=f"evaluate-{part}")
    return built


def _read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _bars(figures: dict[str, Any], compressors: dict[str, Any]) -> dict[str, float]:
    """Bits per byte of all evaluated documents, for each model and compressor."""
    models = {name: found["overall"]["all"]["bits_per_byte"] for name, found in figures.items()}
    return {**models, **compressors["overall"]["all"]}


def _summary(found: dict[str, Any]) -> dict[str, Any]:
    """What is worth comparing between two runs of ``dvc repro``; hosts and the rest are in the results."""
    languages = {name: language["bits_per_byte"] for name, language in found["by_language"].items()}
    repeated = {
        kind: {name: figure for name, figure in figures.items() if name != "texts"}
        for kind, figures in found["memorisation"].items()
    }
    return {
        **found["overall"]["all"],
        "by_language": languages,
        "tasks": found["tasks"],
        "memorisation": repeated,
    }


def _publish(results: Path, everything: dict[str, Any], files: Sequence[Path], tasks: Path) -> None:
    if results.exists():
        shutil.rmtree(results)
    shards.publish_file(tasks, results / "tasks")
    for path in files:
        shards.publish_file(path, results / path.name)
    (results / "results.json").write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n", "utf-8")
    with (results / "bits_per_byte.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("name", "bits_per_byte"))
        table.writerows(_bars(everything["models"], everything["compressors"]).items())


if __name__ == "__main__":
    main(run)
