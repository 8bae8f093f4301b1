"""Tasks run on a model as the stage runs them, without documents of its own."""

import json
from pathlib import Path
from typing import Any

from stages.scoring import cloze, harness
from stages.scoring.harness import ChatTemplate
from stages.scoring.likelihood import Windows

OUTPUTS = {"figures": "figures.json", "questions": "questions.parquet", "answers": "answers.jsonl"}


def solve(
    model: Path, own: Path, folder: Path, *names: str, windows: Windows, chat: ChatTemplate = "never"
) -> dict[str, Any]:
    """Figures of the tasks ``names`` of the folder ``own``; what else is written lies in ``folder``."""
    made = folder / "made"
    made.mkdir(parents=True, exist_ok=True)
    (made / f"{cloze.NAME}.jsonl").touch()
    outputs = {label: folder / name for label, name in OUTPUTS.items()}
    harness.measure(harness.Tasks(names=names, chat_template=chat, windows=windows), [model, made, own], outputs)
    figures: dict[str, Any] = json.loads(outputs["figures"].read_text("utf-8"))
    return figures
