"""The report's page: one file that asks for nothing, and that no text in it can change.

The content security policy allows nothing but the page's own style sheet and script, by their hashes.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from markupsafe import Markup

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.release import charts, rendering
from stages.release.figures import Measured, flat, number

_FRAME = "templates/frame.html"
_TEMPLATE = "templates/report.html"
_STYLE = "templates/report.css"
_SCRIPT = "templates/report.js"
# In the order of the page; named here, for what a stage depends on is read from its modules.
_PARTS = (
    "templates/report/lineage.html",
    "templates/report/dropped.html",
    "templates/report/takedown.html",
    "templates/report/documents.html",
    "templates/report/rules.html",
    "templates/report/duplicates.html",
    "templates/report/tokenizer.html",
    "templates/report/training.html",
    "templates/report/evaluation.html",
    "templates/report/written.html",
    "templates/report/provenance.html",
)
_MACROS = "templates/report/macros.html"


def report(sections: dict[str, Any]) -> str:
    """The report; ``sections`` are the variables of its template."""
    script = _own(_SCRIPT)
    return styled(_TEMPLATE, {"script": script, "parts": _PARTS, "macros": _MACROS, **sections}, script)


def styled(template: str, sections: dict[str, Any], script: str = "") -> str:
    """A page in the report's style; ``sections`` are the variables of ``template``, beside ``frame``, ``style``
    and ``policy``.

    Args:
        template: Its file.
        sections: The variables.
        script: The one script that may run in it.
    """
    style = _own(_STYLE)
    policy = f"default-src 'none'; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    if script:
        policy += f"; script-src {_hash(script)}"
    return rendering.html().get_template(template).render(frame=_FRAME, style=style, policy=policy, **sections)


def write(rendered: str, path: Path, max_bytes: int) -> int:
    """Write the page; gives its bytes.

    Raises:
        HeadwaterError: it has more than ``max_bytes``.
    """
    content = rendered.encode()
    if len(content) > max_bytes:
        raise HeadwaterError(
            f"the page would have {len(content):,} bytes, params.yaml allows report.max_bytes {max_bytes:,}: "
            "lower report.search_bytes, report.examples or report.characters"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    shards.replace(partial, path)
    return len(content)


def _own(name: str) -> Markup:
    """A file of our own, which is safe as it stands: it comes from the source, not from data."""
    return Markup((Path(__file__).parent / name).read_text("utf-8"))


def _hash(content: str) -> str:
    """As a policy names an element's content, which begins on its second line."""
    digest = base64.b64encode(hashlib.sha256(f"\n{content}".encode()).digest()).decode()
    return f"'sha256-{digest}'"


def funnel(measured: Measured, stages: list[str]) -> Markup:
    """What each of the document stages kept and dropped, as bars; of the first, the crawl, what it took."""
    rows = []
    for stage in stages:
        metrics = measured[stage]
        # A sample of a large crawl leaves most of it out: beside that, nothing else would be seen.
        dropped = 0 if stage == stages[0] else sum(metrics.get("dropped", {}).values())
        share = f" (−{100 * dropped / metrics['in']:.1f} %)" if dropped else ""
        parts = [
            (float(metrics["out"]), "s1", f"{stage}: {metrics['out']:,} kept"),
            (float(dropped), "lost", f"{stage}: {dropped:,} dropped"),
        ]
        rows.append(charts.Bar(stage, parts, f"{metrics['out']:,}{share}"))
    return charts.bars("Documents kept and dropped by each stage", rows)


def reasons(
    measured: Measured, stages: list[str], examples: dict[tuple[str, str], Any]
) -> dict[str, list[dict[str, Any]]]:
    """Stage to the reasons for which it dropped documents, the most frequent first: reason, count, share of what went
    into the stage (0–1), and examples. Stages that dropped nothing are left out."""
    found = {
        stage: [
            {"reason": reason, "count": count, "share": count / measured[stage]["in"], "examples": shown}
            for reason, count in sorted(measured[stage].get("dropped", {}).items(), key=lambda one: (-one[1], one[0]))
            for shown in [examples.get((stage, reason), [])]
            if count
        ]
        for stage in stages
    }
    return {stage: rows for stage, rows in found.items() if rows}


def headlines(measured: Measured, stages: list[str], evaluation: tuple[str, str] | None) -> list[tuple[str, Any, str]]:
    """The figures at the top: value, what it is, and what to see it beside; absent ones are left out."""
    first, last = measured[stages[0]], measured[stages[-1]]
    found: list[tuple[str, Any, str]] = [
        ("pages crawled", first["out"], f"of {number(first['in'])}" if first["in"] > first["out"] else ""),
        (
            "documents trained on",
            last["out"],
            f"{100 * last['out'] / first['out']:.1f} % of them" if first["out"] else "",
        ),
    ]
    tokens = measured.get("pack", {}).get("tokens")
    if tokens:
        found.append(("training tokens", tokens, ""))
    parameters = measured.get("pretrain", {}).get("parameters")
    if parameters:
        found.append(("parameters", parameters, ""))
    if evaluation:
        found.append(("bits per byte, held out", evaluation[0], evaluation[1]))
    return found


def every_figure(measured: Measured) -> dict[str, list[tuple[str, Any]]]:
    """Stage to all of its figures by dotted name."""
    return {stage: list(flat(metrics)) for stage, metrics in measured.items()}
