"""Charts of points as inline SVG, in the style sheet of the report: a trial each, and lines among them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stages.release.charts import marks, ticks

_WIDTH, _HEIGHT = 520, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 14, 46
_DOT = 9


@dataclass(frozen=True)
class Points:
    """Some points of a chart, or a line through them."""

    x: Sequence[float]
    y: Sequence[float]
    style: str
    """Class in the style sheet: of dots ``s1``, ``lost`` or ``muted``; of a line ``s1``, ``s2`` or ``s3``."""
    notes: Sequence[str] = ()
    """What is shown of each dot when it is pointed at; none makes a line."""


@dataclass(frozen=True)
class Axis:
    """What stands along an edge."""

    label: str
    log: bool = False
    names: Sequence[str] = ()
    """Of the places 0, 1, 2 …, where the values are no numbers."""

    def marks(self, values: Sequence[float]) -> list[tuple[float, str]]:
        """Where marks stand, in the axis's own measure, and what they say."""
        if self.names:
            return [(place, name if len(name) <= 18 else name[:17] + "…") for place, name in enumerate(self.names)]
        if self.log:
            return _powers(min(values), max(values))
        places = ticks(min(values), max(values))
        return list(zip(places, marks(places), strict=True))

    def measure(self, value: float) -> float:
        """Where a value stands."""
        return math.log10(value) if self.log else value


def scatter(title: str, x_axis: Axis, y_axis: Axis, groups: Sequence[Points]) -> Markup:
    """A chart of points; groups later in the list lie above those before."""
    x_marks = x_axis.marks([value for one in groups for value in one.x])
    y_marks = y_axis.marks([value for one in groups for value in one.y])
    bottom, end = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT

    def across(value: float) -> float:
        return _place(value, x_marks, _LEFT, end, 0.5 if x_axis.names else 0.0)

    def down(value: float) -> float:
        return _place(value, y_marks, bottom, _TOP, 0.0)

    drawn = [
        Markup('<svg class="chart half" role="img" viewBox="0 0 {} {}" aria-label="{}"><title>{}</title>').format(
            _WIDTH, _HEIGHT, title, title
        )
    ]
    for place, text in y_marks:
        drawn.append(_line("grid", _LEFT, down(place), end, down(place)))
        drawn.append(_text("end", _LEFT - 8, down(place) + 4, text))
    for place, text in x_marks:
        drawn.append(_line("tick", across(place), bottom, across(place), bottom + 4))
        drawn.append(_text("middle", across(place), bottom + 18, text))
    drawn.append(_line("axis", _LEFT, bottom, end, bottom))
    drawn.append(_text("middle", (_LEFT + end) / 2, _HEIGHT - 6, x_axis.label))
    for one in groups:
        places = [(across(x_axis.measure(x)), down(y_axis.measure(y))) for x, y in zip(one.x, one.y, strict=True)]
        drawn += _dots(places, one) if one.notes else [_path(places, one.style)]
    return Markup("").join([*drawn, Markup("</svg>")])


def _dots(places: Sequence[tuple[float, float]], points: Points) -> list[Markup]:
    # Squares with round corners, for which the style sheet has colours.
    dot = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="{}"><title>{}</title></rect>')
    return [
        dot.format(points.style, f"{x - _DOT / 2:.1f}", f"{y - _DOT / 2:.1f}", _DOT, _DOT, _DOT / 2, note)
        for (x, y), note in zip(places, points.notes, strict=True)
    ]


def _path(places: Sequence[tuple[float, float]], style: str) -> Markup:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return Markup('<polyline class="line {}" points="{}"/>').format(style, points)


def _powers(low: float, high: float) -> list[tuple[float, str]]:
    """Marks of a logarithmic axis that enclose two values: powers of ten, and where those are few 2 and 5 of each."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    below = max((value for value in values if value <= low), default=values[0])
    above = min((value for value in values if value >= high), default=values[-1])
    kept = [value for value in values if below <= value <= above]
    if len(kept) == 1:  # all values are the same round number
        kept = [kept[0] / 2, kept[0], kept[0] * 2]
    return [(math.log10(value), _short(value)) for value in kept]


def _short(value: float) -> str:
    size, letter = next(((s, c) for s, c in ((1e9, " G"), (1e6, " M"), (1e3, " k")) if value >= s), (1.0, ""))
    return f"{value / size:g}{letter}"


def _place(value: float, axis: Sequence[tuple[float, str]], start: float, end: float, margin: float) -> float:
    low, high = axis[0][0] - margin, axis[-1][0] + margin
    return start + (value - low) / (high - low) * (end - start)


def _line(style: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        style, f"{x1:.1f}", f"{y1:.1f}", f"{x2:.1f}", f"{y2:.1f}"
    )


def _text(style: str, x: float, y: float, text: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}">{}</text>').format(style, f"{x:.1f}", f"{y:.1f}", text)
