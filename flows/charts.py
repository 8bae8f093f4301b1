"""Small charts of a stage's plots as SVG, for the Prefect UI; the plots are those that dvc.yaml declares."""

import base64
import csv
import html
import math
from collections.abc import Sequence

from flows.graph import Plot

_WIDTH, _HEIGHT = 760, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 20, 40, 50
_BAR = 26  # height of a bar with its gap
_INK, _GRID, _LINE = "#334155", "#e2e8f0", "#2563eb"
_POINTS = 500  # more than a chart has pixels for


def image(plot: Plot) -> str | None:
    """The chart of a plot as a data URL; nothing where there is no number to draw."""
    with plot.path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if plot.bars:
        bars = [(row[plot.y], value) for row in rows if (value := _number(row.get(plot.x))) is not None]
        drawing = _bars(plot, bars) if bars else None
    else:
        pairs = [(_number(row.get(plot.x)), _number(row.get(plot.y))) for row in rows]
        points = [(x, y) for x, y in pairs if x is not None and y is not None]
        drawing = _line(plot, points[:: math.ceil(len(points) / _POINTS)]) if points else None
    return drawing and "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode()


def _line(plot: Plot, points: Sequence[tuple[float, float]]) -> str:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    bottom = _HEIGHT - _BOTTOM

    def across(x: float) -> float:
        return _LEFT + (x - min(xs)) / ((max(xs) - min(xs)) or 1) * (_WIDTH - _LEFT - _RIGHT)

    def down(y: float) -> float:
        return bottom - (y - min(ys)) / ((max(ys) - min(ys)) or 1) * (bottom - _TOP)

    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = min(xs) + share * (max(xs) - min(xs)), min(ys) + share * (max(ys) - min(ys))
        parts.append(f'<path d="M{_LEFT} {down(y):.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>')
        parts.append(_text(_LEFT - 8, down(y) + 4, f"{y:.4g}", "end"))
        parts.append(_text(across(x), bottom + 18, f"{x:,.6g}", "middle"))
    path = "L".join(f"{across(x):.1f} {down(y):.1f}" for x, y in points)
    parts.append(f'<path d="M{path}" fill="none" stroke="{_LINE}" stroke-width="2" stroke-linejoin="round"/>')
    parts.append(_text(_WIDTH / 2, _HEIGHT - 10, plot.x_label, "middle"))
    return _svg(_HEIGHT, [_text(_LEFT, 24, f"{plot.title} ({plot.y_label})", "start"), *parts])


def _bars(plot: Plot, bars: Sequence[tuple[str, float]]) -> str:
    left, longest = 220, max(abs(value) for _, value in bars) or 1
    parts = [_text(20, 24, plot.title, "start")]
    for number, (name, value) in enumerate(bars):
        top = _TOP + number * _BAR
        width = max(abs(value) / longest * (_WIDTH - left - 90), 1)
        parts.append(_text(left - 8, top + 14, name if len(name) <= 30 else name[:29] + "…", "end"))
        parts.append(f'<rect x="{left}" y="{top}" width="{width:.1f}" height="{_BAR - 8}" fill="{_LINE}"/>')
        parts.append(_text(left + width + 6, top + 14, f"{value:.4g}", "start"))
    return _svg(_TOP + len(bars) * _BAR + 10, parts)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_INK}">{html.escape(text)}</text>'


def _svg(height: int, parts: Sequence[str]) -> str:
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}"'
    style = f'height="{height}" font-family="sans-serif" font-size="12">'
    return f'{opening} {style}<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>'


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
