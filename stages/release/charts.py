"""Charts as inline SVG: drawn here, coloured by the page's style sheet, with a title for who cannot see them."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from markupsafe import Markup

# Units of the drawing, which are about pixels where a chart has the width it is made for: half a page or all of it.
_HALF, _WHOLE = 520, 960
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 24, 14, 44

_SHADES = 8


@dataclass(frozen=True)
class Series:
    """A line of a chart."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str
    """Class of the line in the style sheet: ``s1``, ``s2``, … or ``faint``."""


@dataclass(frozen=True)
class Bar:
    """A row of a bar chart."""

    label: str
    parts: Sequence[tuple[float, str, str]]
    """Lengths along the row with class and meaning, from the left."""
    note: str = ""
    error: float = field(default=0.0)
    """Standard error of the whole, drawn as a whisker of two of them to either side."""


class Node(NamedTuple):
    """A box of a graph."""

    name: str
    note: str
    link: str


@dataclass(frozen=True)
class Histogram:
    """What a histogram is of, and where its bins lie."""

    title: str
    edges: Sequence[float]
    """Of the bins, one more than there are."""
    limits: Sequence[float] = ()
    """Drawn as upright lines."""


def lines(title: str, x_label: str, series: Sequence[Series], marked: Sequence[tuple[float, str]] = ()) -> Markup:
    """A line chart of half a page's width; the axes span the data. ``marked`` are upright lines with their meaning."""
    width, height = _HALF, 250
    x_ticks = ticks(min(min(s.x) for s in series), max(max(s.x) for s in series))
    y_ticks = ticks(min(min(s.y) for s in series), max(max(s.y) for s in series))
    bottom = height - _BOTTOM

    def place(value: float, marks: Sequence[float], start: float, end: float) -> float:
        return start + (value - marks[0]) / (marks[-1] - marks[0]) * (end - start)

    drawn = [_open("half", title, width, height)]
    for mark, text in zip(y_ticks, marks(y_ticks), strict=True):
        y = place(mark, y_ticks, bottom, _TOP)
        drawn.append(_line("grid", _LEFT, y, width - _RIGHT, y) + _text("end", _LEFT - 8, y + 4, text))
    for mark, text in zip(x_ticks, marks(x_ticks), strict=True):
        x = place(mark, x_ticks, _LEFT, width - _RIGHT)
        drawn.append(_line("tick", x, bottom, x, bottom + 4) + _text("middle", x, bottom + 18, text))
    drawn.append(_line("axis", _LEFT, bottom, width - _RIGHT, bottom))
    drawn.append(_text("middle", (_LEFT + width - _RIGHT) / 2, height - 6, x_label))
    for at, meaning in marked:
        x = place(at, x_ticks, _LEFT, width - _RIGHT)
        drawn.append(_upright("spike", x, bottom, meaning))
    for one in series:
        points = " ".join(
            f"{place(x, x_ticks, _LEFT, width - _RIGHT):.1f},{place(y, y_ticks, bottom, _TOP):.1f}"
            for x, y in zip(one.x, one.y, strict=True)
        )
        drawn.append(
            Markup('<polyline class="line {}" points="{}"><title>{}</title></polyline>').format(
                one.style, points, one.name
            )
        )
    return Markup("").join([*drawn, Markup("</svg>")])


def histogram(
    drawn: Histogram,
    counts: Sequence[Sequence[int]],
    names: tuple[str, str],
    label: Callable[[float], str] | None = None,
) -> Markup:
    """Two counts of the same bins: the first as bars, the second as an outline before them.

    Heights are logarithmic, of one more than the count: a bin with a single document is seen beside one with thousands.

    Args:
        drawn: What it is of.
        counts: Of both, in each bin.
        names: Of both.
        label: Writes a place on the axis, by default as a number.
    """
    width, height = _HALF, 190
    bottom, edges = height - _BOTTOM + 14, drawn.edges
    most = max(1, *(count for side in counts for count in side))

    def across(value: float) -> float:
        return _LEFT + (value - edges[0]) / (edges[-1] - edges[0]) * (width - _RIGHT - _LEFT)

    def up(count: float) -> float:
        return bottom - math.log1p(count) / math.log1p(most) * (bottom - _TOP)

    parts = [_open("half", drawn.title, width, height)]
    for power in range(int(math.log10(most)) + 1):
        y = up(10**power)
        parts.append(_line("grid", _LEFT, y, width - _RIGHT, y) + _text("end", _LEFT - 8, y + 4, f"{10**power:,}"))
    bars_path = "".join(
        f"M{across(start) + 0.5:.1f} {bottom}V{up(count):.1f}H{across(end) - 0.5:.1f}V{bottom}z"
        for count, start, end in zip(counts[0], edges, edges[1:], strict=False)
        if count
    )
    steps = [f"V{up(count):.1f}H{across(end):.1f}" for count, end in zip(counts[1], edges[1:], strict=True)]
    outline = f"M{across(edges[0]):.1f} {bottom}{''.join(steps)}V{bottom}"
    parts.append(Markup('<path class="bins" d="{}"><title>{}</title></path>').format(bars_path, names[0]))
    parts.append(Markup('<path class="outline" d="{}"><title>{}</title></path>').format(outline, names[1]))
    parts.append(_line("axis", _LEFT, bottom, width - _RIGHT, bottom))
    if label is None:
        inside = [mark for mark in ticks(edges[0], edges[-1], 5) if edges[0] <= mark <= edges[-1]]
        written = list(zip(inside, marks(inside), strict=True))
    else:
        written = [(edge, label(edge)) for edge in edges[:: math.ceil(len(edges) / 8)]]
    parts += [_text("middle", across(at), bottom + 18, text) for at, text in written]
    parts += [_upright("limit", across(limit), bottom, f"limit {limit:g}") for limit in drawn.limits]
    return Markup("").join([*parts, Markup("</svg>")])


def binary(power: float) -> str:
    """Two to a power as bytes: ``512``, ``4 K``, ``1 M``."""
    step = min(3, int(power) // 10)
    return f"{2 ** (int(power) - 10 * step)}{('', ' K', ' M', ' G')[step]}"


def bars(title: str, rows: Sequence[Bar], label_width: int = 140) -> Markup:
    """A chart of horizontal bars over a page's width, each with its label on the left and its note behind it."""
    row, gap = 26, 9
    longest = max((sum(part[0] for part in bar.parts) + 2 * bar.error for bar in rows), default=0) or 1
    room = _WHOLE - label_width - 170
    drawn = [_open("whole", title, _WHOLE, len(rows) * row + gap)]
    for index, bar in enumerate(rows):
        top = index * row + gap
        drawn.append(_text("end label", label_width - 10, top + 13, bar.label))
        x = float(label_width)
        for value, style, meaning in bar.parts:
            width = value / longest * room
            if width > 0:
                drawn.append(
                    Markup(
                        '<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="2"><title>{}</title></rect>'
                    ).format(style, f"{x:.1f}", top, f"{max(width, 1):.1f}", row - gap, meaning)
                )
            x += width
        if bar.error:
            reach = 2 * bar.error / longest * room
            middle = top + (row - gap) / 2
            drawn.append(_line("whisker", x - reach, middle, x + reach, middle))
            drawn += [_line("whisker", end, middle - 4, end, middle + 4) for end in (x - reach, x + reach)]
            x += reach
        drawn.append(_text("note", x + 8, top + 13, bar.note))
    return Markup("").join([*drawn, Markup("</svg>")])


def cells(title: str, rows: Sequence[Sequence[float]], labels: Sequence[str]) -> Markup:
    """A map of values 0–1 in rows, the stronger in colour the more; of the labels, one a row, the first characters.

    Values are drawn in eight shades, all squares of a shade as one path: a hundred maps stay a small file.
    """
    size, left = 10, 90 if labels else 0
    width = max(map(len, rows))
    drawn = [_open("map", title, left + size * width, size * len(rows))]
    drawn.append(
        Markup('<rect class="ground" x="{}" y="0" width="{}" height="{}"/>').format(
            left, size * width, size * len(rows)
        )
    )
    shades: dict[int, list[str]] = {}
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            if shade := min(_SHADES, math.ceil(value * _SHADES - 0.5)):
                shades.setdefault(shade, []).append(f"M{left + size * x} {size * y}h{size}v{size}h-{size}z")
    drawn += [
        Markup('<path class="shade{}" d="{}"/>').format(shade, "".join(parts))
        for shade, parts in sorted(shades.items())
    ]
    drawn += [_text("end", left - 4, size * y + 8, label[:12]) for y, label in enumerate(labels)]
    return Markup("").join([*drawn, Markup("</svg>")])


def graph(title: str, nodes: Sequence[Node], edges: Sequence[tuple[str, str]]) -> Markup:
    """Boxes one below the other, with a line from each to the next one and an arc to those further on."""
    left, wide, high, down = 110, 180, 40, 14
    tops = {node.name: 2 + at * (high + down) for at, node in enumerate(nodes)}
    drawn = [_open("graph", title, left + wide + 4, len(nodes) * (high + down) - down + 4, "group")]
    longest = max((abs(tops[after] - tops[before]) for before, after in edges), default=1)
    for before, after in sorted(edges, key=lambda edge: tops[edge[0]] - tops[edge[1]]):
        start, end = tops[before] + high / 2, tops[after] + high / 2
        if end - start == high + down:
            path = f"M{left + wide / 2:g} {start:g}V{end:g}"
        else:
            reach = left - (12 + (left - 14) * math.sqrt(abs(end - start) / longest)) * 4 / 3
            path = f"M{left} {start + 6:g}C{reach:.1f} {start + 6:g} {reach:.1f} {end - 6:g} {left} {end - 6:g}"
        drawn.append(Markup('<path class="edge" data-from="{}" data-to="{}" d="{}"/>').format(before, after, path))
    for node in nodes:
        y = tops[node.name]
        box = Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="6"/>').format(left, y, wide, high)
        words = _text("name", left + 12, y + 17, node.name) + _text("count", left + 12, y + 32, node.note)
        link = Markup('<a class="node" href="{}" data-stage="{}">{}</a>')
        drawn.append(link.format(node.link, node.name, box + words))
    return Markup("").join([*drawn, Markup("</svg>")])


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers at equal distances that enclose ``low`` to ``high``; at least two."""
    if low == high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    span = high - low
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power * about >= span)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [count * step for count in range(first, max(last, first + 1) + 1)]


def smooth(values: Sequence[float], share: float = 0.02) -> list[float]:
    """Running mean over ``share`` of the values, centred and shorter at the ends."""
    reach = int(len(values) * share)
    return [statistics.fmean(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values))]


def marks(values: Sequence[float]) -> list[str]:
    """The numbers of an axis as text, all in the same unit: ``0``, ``5 M``, ``10 M``."""
    largest = max(map(abs, values))
    size, letter = next(((s, c) for s, c in ((1e9, " G"), (1e6, " M"), (1e3, " k")) if largest >= 2 * s), (1.0, ""))
    return [f"{round(value / size, 12):g}{letter if value else ''}" for value in values]


def _open(style: str, title: str, width: float, height: float, role: str = "img") -> Markup:
    return Markup('<svg class="chart {}" role="{}" viewBox="0 0 {} {}" aria-label="{}"><title>{}</title>').format(
        style, role, width, height, title, title
    )


def _line(style: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        style, f"{x1:.1f}", f"{y1:.1f}", f"{x2:.1f}", f"{y2:.1f}"
    )


def _upright(style: str, x: float, bottom: float, meaning: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"><title>{}</title></line>').format(
        style, f"{x:.1f}", _TOP - 8, f"{x:.1f}", f"{bottom:.1f}", meaning
    )


def _text(style: str, x: float, y: float, text: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(style, f"{x:.1f}", f"{y:.1f}", text)
