"""Sweep files: what they may say, what is drawn from them, and that a draw is the same whenever it is made."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from flows import search
from stages.core.errors import HeadwaterError

ROOT = Path(__file__).resolve().parents[2]

PARAMS = {"train": {"rate": 0.5, "kind": "a", "mix": [], "name": "", "flag": True}}
SWEEP: dict[str, Any] = {
    "target": "train",
    "objectives": {"train.loss": "minimize"},
    "sampler": "tpe",
    "seed": 1,
    "trials": 4,
    "pruning": None,
    "repeats": None,
    "fixed": {},
    "parameters": {"train.rate": {"low": "1e-2", "high": 1, "scale": "log"}},
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a sweep file is written, in a project with parameters."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS))
    return Path("s.yaml")


def loaded(file: Path, **changes: Any) -> search.Search:
    """A sweep file with changes."""
    file.write_text(yaml.safe_dump({**SWEEP, **changes}))
    return search.load(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": {"train.rat": {"values": [1]}}}, "train.rat is not in params.yaml; did you mean 'rate'?"),
        ({"fixed": {"trane.rate": 1}}, "trane.rate is not in params.yaml; did you mean 'train'?"),
        ({"sampler": "grid"}, "train.rate: a grid takes values"),
        ({"parameters": {"train.rate": {"low": 2, "high": 1, "scale": "linear"}}}, "low must be less than high"),
        ({"parameters": {"train.rate": {"low": 0, "high": 1, "scale": "log"}}}, "more than 0 where the scale is log"),
        ({"parameters": {"train.rate": {"values": []}}}, "train.rate.values is empty"),
        ({"pruning": {"figure": "training/loss", "first": 1, "factor": 1}}, "pruning.factor must be at least 2"),
        (
            {
                "objectives": {"train.loss": "minimize", "train.size": "minimize"},
                "pruning": {"figure": "training/loss", "first": 1, "factor": 2},
            },
            "pruning compares one figure",
        ),
        ({"objectives": {}}, "objectives is empty"),
        ({"objectives": {"loss": "minimize"}}, "loss must be <stage>.<name in its metrics>"),
        ({"objectives": {"train.loss": "least"}}, "train.loss: Input should be 'minimize' or 'maximize'"),
        ({"repeats": {"parameter": "train.sed", "values": [1, 2]}}, "train.sed is not in params.yaml"),
        ({"repeats": {"parameter": "train.kind", "values": [1]}}, "repeats.values must be at least two"),
        ({"seeds": 1}, "s.yaml.seeds is not a parameter; did you mean 'seed'?"),
        ({"trials": "many"}, 's.yaml.trials must be a whole number, got "many"'),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(file: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(HeadwaterError) as refused:
        loaded(file, **changes)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", sorted((ROOT / "infra" / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_sweeps_that_are_shipped_name_parameters_that_there_are(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert search.load(path).target in yaml.safe_load(Path("dvc.yaml").read_text())["stages"]


@pytest.mark.parametrize(
    "value",
    [1e-5, 3, True, None, "a, b: [c] 'd' \"e\" \\ €", [], [{"host": "*.example.org", "weight": 2}]],
)
def test_any_value_gets_into_params_yaml_as_it_is(file: Path, value: Any) -> None:
    name = "train.flag" if isinstance(value, bool) else "train.mix"
    apply_overrides("params.yaml", list(search.overrides({name: value})))
    written = yaml.safe_load(Path("params.yaml").read_text())["train"][name.partition(".")[2]]
    assert (float(written) if isinstance(value, float) else written) == value


def test_a_trial_draws_the_same_whenever_the_ones_before_it_are_the_same(file: Path) -> None:
    spaces = {
        "train.rate": {"low": 0.01, "high": 1.0, "scale": "log"},
        "train.mix": {"values": [[], [{"host": "a.org"}]]},
        "train.kind": {"low": 1, "high": 64, "scale": "log"},
    }
    wanted = loaded(file, parameters=spaces, fixed={"train.flag": False})

    def draws(study: optuna.Study, first: int, last: int) -> list[dict[str, Any]]:
        drawn = []
        for number in range(first, last):
            study.sampler = search.sampler(wanted, number)
            trial = study.ask()
            drawn.append(search.drawn(wanted, trial))
            study.tell(trial, float(number % 3))
        return drawn

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    whole = draws(optuna.create_study(), 0, 14)
    study = optuna.create_study()
    assert draws(study, 0, 12) + draws(study, 12, 14) == whole
    assert all(0.01 <= one["train.rate"] <= 1 and one["train.flag"] is False for one in whole)
    assert all(isinstance(one["train.kind"], int) for one in whole)
    assert {json.dumps(one["train.mix"]) for one in whole} == {"[]", '[{"host": "a.org"}]'}


def test_a_grid_has_every_combination_once_or_as_many_as_asked_for(file: Path) -> None:
    spaces = {"train.kind": {"values": ["a", "b"]}, "train.rate": {"values": [1, 2, 3]}}
    whole = search.combinations(loaded(file, sampler="grid", trials=10, parameters=spaces))
    assert len({json.dumps(one, sort_keys=True) for one in whole}) == len(whole) == 6
    assert search.combinations(loaded(file, sampler="grid", trials=2, parameters=spaces)) == whole[:2]


def test_a_trial_that_repeats_is_built_once_for_each_value(file: Path) -> None:
    once = loaded(file)
    thrice = loaded(file, repeats={"parameter": "train.kind", "values": ["a", "b", "c"]})
    assert search.builds(once, {"train.rate": 1}) == [{"train.rate": 1}]
    assert [one["train.kind"] for one in search.builds(thrice, {"train.rate": 1})] == ["a", "b", "c"]


def test_more_trials_are_the_same_sweep_and_anything_else_is_another(file: Path) -> None:
    same = search.identity(loaded(file), "code")
    assert search.identity(loaded(file, trials=9), "code") == same
    others = [search.identity(loaded(file, seed=2), "code"), search.identity(loaded(file), "other code")]
    assert same not in others
