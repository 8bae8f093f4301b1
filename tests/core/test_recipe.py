"""Recipes: a sparse overlay that leaves comments and everything else alone."""

import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.core import recipe
from stages.core.errors import HeadwaterError
from stages.core.params import read

PARAMS = "# What changes the bytes.\npretrain:\n  steps: 100  # of the optimizer\n  model: {layers: 4, width: 192}\n"


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(recipe, "RECIPES", tmp_path)
    file = tmp_path / "params.txt"
    file.write_text(PARAMS, "utf-8")
    return file


def test_a_recipe_changes_its_values_and_nothing_else(params: Path) -> None:
    (params.parent / "small.yaml").write_text("pretrain: {steps: 200, model: {layers: 4, width: 128}}", "utf-8")
    assert recipe.values("small", params)["pretrain"] == {"steps": 200, "model": {"layers": 4, "width": 128}}
    assert recipe.difference("small", params)[1].splitlines()[-4:] == [
        "-  steps: 100  # of the optimizer",
        "-  model: {layers: 4, width: 192}",
        "+  steps: 200  # of the optimizer",
        "+  model: {layers: 4, width: 128}",
    ]
    assert params.read_text("utf-8") == PARAMS
    assert recipe.apply("small", params)
    assert recipe.apply("small", params) == ""
    assert params.read_text("utf-8") == PARAMS.replace("100", "200").replace("192", "128")


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("smal", "", "no such recipe; did you mean 'small'?"),
        ("small", "pretrain: {step: 5}", "pretrain.step is not in params.yaml; did you mean 'steps'?"),
    ],
)
def test_a_wrong_recipe_is_named_and_changes_nothing(params: Path, name: str, text: str, error: str) -> None:
    (params.parent / "small.yaml").write_text(text or "{}", "utf-8")
    with pytest.raises(HeadwaterError, match=error.replace("?", r"\?")):
        recipe.apply(name, params)
    assert params.read_text("utf-8") == PARAMS


def test_a_key_that_is_a_number_is_found_by_its_name(params: Path) -> None:
    params.write_text("filter: {top_ngrams: {2: 0.2, 3: 0.18}}\n", "utf-8")
    recipe.apply(None, params, ["filter.top_ngrams.2=0.3", 'filter.top_ngrams={"3": 0.1}'])
    assert params.read_text("utf-8") == "filter: {top_ngrams: {2: 0.3, 3: 0.1}}\n"


def test_single_values_are_set_over_a_recipe_or_alone(params: Path) -> None:
    (params.parent / "small.yaml").write_text("pretrain: {steps: 200}", "utf-8")
    recipe.apply("small", params, ["pretrain.steps=300", "pretrain.model.layers=2"])
    assert params.read_text("utf-8") == PARAMS.replace("100", "300").replace("layers: 4", "layers: 2")
    recipe.apply(None, params, ["pretrain.steps=100", "pretrain.model.layers=4"])
    assert params.read_text("utf-8") == PARAMS
    with pytest.raises(HeadwaterError, match=r"--set: pretrain\.step is not in params\.yaml; did you mean 'steps'\?"):
        recipe.apply(None, params, ["pretrain.step=5"])
    with pytest.raises(HeadwaterError, match="--set pretrain: must be name=value"):
        recipe.apply(None, params, ["pretrain"])
    with pytest.raises(HeadwaterError, match=r"--set: pretrain\.steps is a value, not a section"):
        recipe.apply(None, params, ["pretrain.steps.first=5"])
    with pytest.raises(HeadwaterError, match=r"--set pretrain\.steps=\[5: '\[5' is no YAML: while parsing"):
        recipe.apply(None, params, ["pretrain.steps=[5"])
    assert params.read_text("utf-8") == PARAMS
    with pytest.raises(HeadwaterError, match=r"--set: pretrain\.model is a section; it has layers, width"):
        recipe.apply(None, params, ["pretrain.model=7b"])
    assert params.read_text("utf-8") == PARAMS


def test_a_url_in_a_list_needs_no_quotes(params: Path) -> None:
    params.write_text("crawl:\n  seeds: []\n", "utf-8")
    recipe.apply(None, params, ["crawl.seeds=[https://example.org:8080/docs/, ::1, https://example.net/]"])
    assert read(params) == {"crawl": {"seeds": ["https://example.org:8080/docs/", "::1", "https://example.net/"]}}
    assert YAML(typ="safe").load(params) == read(params)  # as DVC reads it


def test_a_list_that_stands_on_one_line_stays_there(params: Path) -> None:
    written = "filter:\n  languages: [en]     # kept\n  hosts: []           # refused\n  questions:\n    - What?\n"
    params.write_text(written, "utf-8")
    recipe.apply(None, params, ["filter.languages=[de, fr]", "filter.hosts=[a.example]", "filter.questions=[Who, Why]"])
    changed = written.replace("[en]    ", "[de, fr]").replace("[]         ", "[a.example]")
    changed = changed.replace("- What?", "- Who\n    - Why")
    assert params.read_text("utf-8") == changed


def test_without_a_recipe_or_a_value_the_recipes_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["recipe"])
    with pytest.raises(SystemExit, match="2"):
        recipe.main()
    said = capsys.readouterr().err
    assert "name a recipe, 125m, 1b, 30m, 350m, 3b, 7b, encoder, smoke, tiny, or --set values" in said
