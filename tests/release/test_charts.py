"""Axes enclose their data in round steps; curves keep their ends."""

import itertools
import math
import xml.etree.ElementTree as ET

import pytest

from stages.release import charts, training_logs


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (1.38, 9.1), (-3, 4e9), (2, 2), (0, 0), (-7, -7), (1e-9, 3e-9), (0.001, 1200)]
)
def test_ticks_enclose_the_data_evenly(low: float, high: float) -> None:
    found = charts.ticks(low, high)

    assert found[0] <= low <= high <= found[-1]
    assert 2 <= len(found) <= 9
    steps = {round((b - a) / (found[1] - found[0]), 6) for a, b in itertools.pairwise(found)}
    assert steps == {1.0}


def test_an_axis_has_one_unit() -> None:
    assert charts.marks([0, 5e6, 1e7]) == ["0", "5 M", "10 M"]
    assert charts.marks([0, 0.2, 0.4]) == ["0", "0.2", "0.4"]
    assert charts.marks([0, 500, 1000]) == ["0", "500", "1000"]


def test_a_chart_is_well_formed_and_hostile_names_are_text() -> None:
    name = '<script>"&'
    bars = ET.fromstring(charts.bars(name, [charts.Bar(name, [(3.0, "s1", name)], name, 0.5), charts.Bar("b", [])]))
    lines = ET.fromstring(charts.lines(name, name, [charts.Series(name, [1, 2], [3, 3], "s1")]))

    assert bars.attrib["aria-label"] == name
    assert [text.text for text in bars.iter("text")] == [name, name, "b", None]
    assert [title.text for title in lines.iter("title")] == [name, name]


def test_a_thinned_curve_ends_where_it_ended() -> None:
    x = [float(value) for value in range(1000)]
    thin_x, thin_y = training_logs.thin(x, [math.sqrt(value) for value in x], 100)

    assert len(thin_x) <= 100
    assert (thin_x[-1], thin_y[-1]) == (999.0, math.sqrt(999))
