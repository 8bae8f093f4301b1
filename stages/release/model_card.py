"""The model card (https://huggingface.co/docs/hub/model-cards): what the model is, from what, how good, and how known.

Every figure is taken from what stages have measured, from their outputs, or from the model; none is typed. The card has
the same bytes wherever it is made from the same inputs: it names them by their hashes, and leaves the commit and
dvc.lock, which change while they do not, to the bundle that a model is handed over with.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import PositiveFloat

from stages.core import adapted, documents, fingerprint, shards
from stages.core.params import params
from stages.release import architecture, rendering
from stages.release.figures import Measured, flat

_TEMPLATE = "templates/model_card.md"
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_KWH = 3.6e6  # joules


@params
class Energy:
    """What the estimate of the energy that training took assumes."""

    hardware: str
    """What the model was trained on."""
    flops_per_joule: PositiveFloat
    """Floating-point operations of training for each joule, all losses included."""


@dataclass(frozen=True)
class Described:
    """What the card is about."""

    name: str
    licence: str
    energy: Energy
    model: Path
    """Folder of the original."""
    manifest: Path
    """What was crawled."""
    heldout: Path
    """Folder of held-out documents: a sample of the pages, with the days they were captured on."""
    formats: dict[str, dict[str, Any]]
    """What was exported, with sizes and differences."""
    pruned: dict[str, float]
    """What was pruned, and its cost; empty where nothing was."""
    measured: Measured
    """Stage to metrics."""


def write(folder: Path, described: Described) -> None:
    """Write ``README.md`` into the exported ``folder``."""
    head, model = architecture.head(described.model), architecture.load(described.model)
    measured = described.measured
    text = (
        rendering.markdown()
        .get_template(_TEMPLATE)
        .render(
            name=described.name,
            licence=described.licence,
            task=head.task,
            auto=head.auto.__name__,
            languages=_languages(measured),
            config=model.config,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            adapter=adapted.is_adapter(described.model),
            formats=described.formats,
            pruned=described.pruned,
            sentencepiece=(described.model / "tokenizer.model").exists(),
            gguf=sorted(path.name for path in folder.glob("*.gguf")),
            onnx=sorted(path.name for path in folder.glob("onnx/*.onnx")),
            manifest=json.loads(described.manifest.read_text("utf-8")),
            dates=_dates(described.heldout),
            stages=measured,
            shares=_shares(measured.get("extract", {}).get("languages", {})),
            training=_training(measured),
            energy=described.energy,
            kwh=sum(measured.get(stage, {}).get("flops", 0) for stage in ("pretrain", "finetune"))
            / described.energy.flops_per_joule
            / _KWH,
            evaluation=_figures(measured.get("evaluate", {})),
            hashes={
                "the trained model": fingerprint.file_hash(described.model),
                "the list of what was crawled": fingerprint.file_hash(described.manifest),
                "the held-out documents": fingerprint.file_hash(described.heldout),
            },
        )
    )
    (folder / "README.md").write_text(text, "utf-8")


def _training(measured: Measured) -> dict[str, list[tuple[str, Any]]]:
    stages = ("tokenizer", "pack", "pretrain", "finetune")
    return {stage: _figures(measured[stage]) for stage in stages if stage in measured}


def _dates(heldout: Path) -> tuple[str, str] | None:
    """First and last day on which held-out pages were captured."""
    days = {
        row["date"][:10] for shard in shards.files(heldout, "*.parquet") for row in documents.read(shard, ("date",))
    }
    return (min(days), max(days)) if days else None


def _shares(counts: dict[str, int]) -> list[tuple[str, float]]:
    """Language to its share of the pages, the most frequent first."""
    total = sum(counts.values())
    return [(code, count / total) for code, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))]


def _figures(metrics: dict[str, Any]) -> list[tuple[str, Any]]:
    counts = {"in", "out", "dropped"}
    return list(flat({key: value for key, value in metrics.items() if key not in counts}))


def _languages(measured: Measured) -> list[str]:
    """Codes of the languages trained on, for the card's header: those that the tokenizer was measured on."""
    counted = measured.get("tokenizer", {}).get("bytes_per_token_by_language", {})
    return sorted(code for code in counted if _LANGUAGE.fullmatch(code))
