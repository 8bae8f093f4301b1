"""A study without a build: which trial comes next, what repeats make of results, and what is found as a page."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import optuna
import pytest

from flows import findings, scatter
from flows.search import Choice, Range, Repeats, Search
from flows.study import Study, opened
from stages.core.errors import HeadwaterError

NASTY = '</svg><script>alert(1)</script>"\x1b[31m\u202e'

SEARCH = Search(
    target="train",
    objectives={"train.loss": "minimize"},
    sampler="grid",
    seed=1,
    trials=100,
    pruning=None,
    repeats=None,
    fixed={"train.title": NASTY},
    parameters={"train.rate": Choice(values=(0.1, 0.2, 0.4)), "train.kind": Choice(values=("a", NASTY))},
)


def study(folder: Path, **changes: Any) -> Study:
    """A study in memory."""
    search = Search(**{**vars(SEARCH), **changes})
    kept = optuna.create_study(directions=list(search.objectives.values()))
    return Study("s-1", search, kept, folder, [])


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_a_grid_is_gone_through_once_also_when_trials_are_stopped_and_tried_again(tmp_path: Path) -> None:
    one = study(tmp_path)
    drawn: list[tuple[float, str]] = []
    for place in range(20):
        found = one.draw()
        if found is None:
            break
        trial, values = found
        if place in (1, 4):
            one.again(trial.number)
        else:
            one.close(trial, [[1.0]])
            drawn.append((values["train.rate"], values["train.kind"]))
    assert len(drawn) == 6
    assert set(drawn) == {(rate, kind) for rate in (0.1, 0.2, 0.4) for kind in ("a", NASTY)}
    assert one.missing() == 0


def test_a_trial_that_another_folder_has_under_way_is_left_to_it(tmp_path: Path) -> None:
    here = study(tmp_path)
    there = Study("s-1", here.search, here.study, tmp_path, [])
    there.owner = "elsewhere"
    mine, its = here.draw(), there.draw()
    assert mine
    assert its
    there.reclaim()
    again = there.draw()
    assert again
    assert again[1] == its[1]
    assert here.study.trials[mine[0].number].state == optuna.trial.TrialState.RUNNING


def test_a_name_that_no_experiment_can_have_is_refused() -> None:
    with pytest.raises(HeadwaterError, match="my sweep: call the file so"), opened("my sweep", SEARCH, None):
        pass


def test_a_trial_that_repeats_has_a_mean_and_its_standard_error(tmp_path: Path) -> None:
    one = study(tmp_path, repeats=Repeats(parameter="train.seed", values=(1, 2)))
    found = one.draw()
    assert found
    assert one.close(found[0], [[1.0], [3.0]]) == [2.0]
    (made,) = one.results()
    assert one.error(made, 0) == pytest.approx(1.0)
    assert one.experiment(0, 1) == "s-1-0-1"


def test_of_several_objectives_the_best_are_those_that_none_beats(tmp_path: Path) -> None:
    goals = {"train.loss": "minimize", "train.size": "minimize"}
    one = study(tmp_path, objectives=goals)
    for results in ([3.0, 1.0], [1.0, 3.0], [3.0, 3.0], [2.0, 2.0]):
        found = one.draw()
        assert found
        one.close(found[0], [results])
    assert [made.values for made in one.best()] == [[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]
    assert one.results()[-1].values == [3.0, 3.0]


def test_what_was_found_is_a_page_whose_text_stays_text(tmp_path: Path) -> None:
    spaces = {**SEARCH.parameters, "train.steps": Range(low=10, high=1000, scale="log")}
    goals = {"train.loss": "minimize", "train.size": "minimize"}
    one = study(tmp_path, sampler="tpe", parameters=spaces, objectives=goals, trials=8)
    while found := one.draw():
        trial, values = found
        one.close(trial, [[values["train.rate"] * trial.number, 100.0 / values["train.steps"]]])
    page = findings.write(one).read_text("utf-8")
    assert page.count("<svg") == 1 + 2 * (1 + 3 + 1)  # the front; for each objective course, parameters, importance
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    for chart in page.split("<svg")[1:]:
        ElementTree.fromstring(f"<svg{chart.partition('</svg>')[0]}</svg>")


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[5.0], [2.0, 2.0], [1.0, 9.0], [0.0013, 0.0162], [3e5, 2e6], [1e-9, 1e9]])
def test_every_point_stands_within_its_axes(values: list[float], log: bool) -> None:
    drawn = scatter.scatter(
        "t", scatter.Axis("x", log=log), scatter.Axis("y"), [scatter.Points(values, values, "s1", ["n"] * len(values))]
    )
    places = [(float(one.get("x", "")), float(one.get("y", ""))) for one in ElementTree.fromstring(drawn).iter("rect")]
    assert len(places) == len(values)
    assert all(50 <= x <= 500 and 0 <= y <= 250 for x, y in places)
