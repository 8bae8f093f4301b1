"""Learning curves on the page: what was measured is drawn, and what was not is left out."""

from pathlib import Path

import pytest

from stages.release import learning_curves

HEADER = "step,tokens,bits_per_byte,bits_per_byte_stderr,cloze,cloze_stderr\n"


def test_what_two_steps_have_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "learning_curve.csv").write_text(HEADER + "1,10,2.5,0.1,,\n2,20,1.5,0.1,0.5,\n3,30,1.25,0.1,,\n")
    ((label, chart),) = learning_curves.drawn(tmp_path)
    assert label.startswith("bits per byte")
    assert "from 2.500 after 10 tokens to 1.250 after 30" in chart
    assert chart.count("<polyline") == 3  # the figure, and two standard errors to either side


@pytest.mark.parametrize("rows", ["", "3,30,1.25,0.1,0.5,0.04\n"])
def test_one_point_makes_no_curve(tmp_path: Path, rows: str) -> None:
    (tmp_path / "learning_curve.csv").write_text(HEADER + rows)
    assert learning_curves.drawn(tmp_path) == []
