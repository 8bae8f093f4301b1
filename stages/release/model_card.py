"""The model card (https://huggingface.co/docs/hub/model-cards): what the model is, from what, how good, and how known.

Every figure is taken from the metrics of the stages or from the model; none is typed.
"""

import re
from pathlib import Path
from typing import Any

from stages.core import adapted
from stages.release import architecture, rendering
from stages.release.figures import Measured, flat

_TEMPLATE = "templates/model_card.md"
_LANGUAGE = re.compile(r"[a-z]{2,3}")


def write(
    folder: Path, source: Path, name: str, licence: str, formats: dict[str, dict[str, Any]], measured: Measured
) -> None:
    """Write ``README.md`` into the exported ``folder``.

    Args:
        source: The original model's folder.
        formats: What was exported, with sizes and differences.
        measured: Stage to metrics.
    """
    head = architecture.head(source)
    model = architecture.load(source)
    text = (
        rendering.markdown()
        .get_template(_TEMPLATE)
        .render(
            name=name,
            licence=licence,
            languages=_languages(measured),
            config=model.config,
            task=head.task,
            continues=head.continues,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            adapter=adapted.is_adapter(source),
            formats=formats,
            sentencepiece=(folder / "tokenizer.model").exists(),
            gguf=sorted(path.name for path in folder.glob("*.gguf")),
            stages=measured,
            training={
                stage: _figures(measured[stage])
                for stage in ("tokenizer", "pack", "pretrain", "finetune")
                if stage in measured
            },
            evaluation=_figures(measured.get("evaluate", {})),
        )
    )
    (folder / "README.md").write_text(text, "utf-8")


def _figures(metrics: dict[str, Any]) -> list[tuple[str, Any]]:
    counts = {"in", "out", "dropped"}
    return list(flat({key: value for key, value in metrics.items() if key not in counts}))


def _languages(measured: Measured) -> list[str]:
    """Codes of the languages trained on, for the card's header: those that the tokenizer was measured on."""
    counted = measured.get("tokenizer", {}).get("bytes_per_token_by_language", {})
    return sorted(code for code in counted if _LANGUAGE.fullmatch(code))
