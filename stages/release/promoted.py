"""The build beside the last promoted model, whose answers `python -m flows.promote --record` keeps in Git.

So the page says the same wherever and whenever it is made, and asks neither Git nor DVC for another build.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core.errors import HeadwaterError
from stages.release.evaluation import Change

CHAMPION = "champion.json"
"""What was promoted: ``version``, ``commit``, ``reason``, and the ``model`` of the evaluation; {} where nothing was."""

ANSWERS = ("scores.parquet", "questions.parquet")
"""Its results, as the evaluation writes ``<model>.parquet`` and ``<model>_questions.parquet``."""


@dataclass(frozen=True)
class Beside:
    """A build beside the champion."""

    champion: dict[str, str]
    changes: list[Change]
    """Over what both were asked; empty where that is nothing."""


def compared(folder: Path, results: Path, differences: Callable[..., Sequence[Any]]) -> Beside | None:
    """What changed since the last promotion; None where there was none.

    Args:
        folder: What was kept of the promoted model.
        results: The evaluation of this build.
        differences: Compares two models by their files, see :mod:`stages.scoring.comparison`.

    Raises:
        HeadwaterError: the folder is damaged.
    """
    path = folder / CHAMPION
    try:
        champion: dict[str, Any] = json.loads(path.read_text("utf-8"))
        names = {key: str(champion[key]) for key in ("version", "commit", "reason", "model")} if champion else {}
    except (OSError, ValueError, KeyError, TypeError):
        raise HeadwaterError(f"{path} is damaged: `python -m flows.promote --record` writes it again") from None
    if not names:
        return None
    before = [folder / name for name in ANSWERS]
    after = [results / f"{names['model']}{end}" for end in (".parquet", "_questions.parquet")]
    if not all(path.is_file() for path in (*before, *after)):
        return Beside(names, [])
    try:
        found = differences(before, after)
    except HeadwaterError:  # asked nothing that both were asked
        return Beside(names, [])
    return Beside(names, [_change(one) for one in found])


def _change(one: Any) -> Change:
    interval = None if one.low is None or one.high is None else (one.low, one.high)
    return Change(one.task, one.metric, one.questions, one.before, one.after, interval, one.verdict)
