"""All that is measured of one model, in parts that are committed each on its own: a killed stage goes on with one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core import shards
from stages.scoring import bits_per_byte, harness
from stages.scoring.harness import Tasks


@dataclass(frozen=True)
class Asked:
    """What models are asked, alike."""

    tasks: Tasks
    documents: Path
    """Shard of held-out documents."""
    made: Path
    """Folder of the task made from them."""
    own: Path
    """Folder of the user's tasks."""


@dataclass(frozen=True)
class Known:
    """What is known of a model: bits per byte and tasks."""

    scores: Path
    """Bits by document."""
    questions: Path
    """What each question adds to the figures of the tasks."""
    answers: Path
    """What it wrote where a task asks for text."""
    figures: dict[str, Any]
    """``overall``, ``by_language``, ``by_host`` and ``tasks``."""


def measure(name: str, model: Path, asked: Asked) -> Known:
    """Bits per byte of the model in a folder, and its tasks; ``name`` is that of the files."""
    outputs = {"scores": f"{name}.parquet", "figures": f"{name}.json"}
    inputs = [model, asked.documents]
    scored = build("bits_per_byte", bits_per_byte.measure, asked.tasks.windows, inputs, **outputs)
    outputs = {"figures": f"{name}.json", "questions": f"{name}_questions.parquet", "answers": f"{name}_answers.jsonl"}
    solved = build("tasks", harness.measure, asked.tasks, [model, asked.made, asked.own], **outputs)
    figures = {**read(scored.outputs["figures"]), "tasks": read(solved.outputs["figures"])}
    return Known(scored.outputs["scores"], solved.outputs["questions"], solved.outputs["answers"], figures)


def build(part: str, function: shards.Function, params: Any, inputs: Sequence[Path], **outputs: str) -> shards.Built:
    """One part of the evaluation."""
    (built,) = shards.build(function, params, [shards.Unit(tuple(inputs), outputs)], label=f"evaluate-{part}")
    return built


def read(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text("utf-8"))


def summary(figures: dict[str, Any]) -> dict[str, Any]:
    """What is worth comparing between two runs of ``dvc repro``; hosts and the rest are in the results."""
    languages = {name: language["bits_per_byte"] for name, language in figures["by_language"].items()}
    repeated = {
        kind: {name: figure for name, figure in found.items() if name != "texts"}
        for kind, found in figures["memorisation"].items()
    }
    return {
        **figures["overall"]["all"],
        "by_language": languages,
        "tasks": figures["tasks"],
        "memorisation": repeated,
    }
