"""The recipes in infra/recipes/: they set what exists, replace each other, and are the models they say they are."""

from pathlib import Path
from typing import Any

import pytest

from stages import export, finetune, pretrain
from stages.core import recipe
from stages.core.params import FILE, check, read

OVER_OTHERS = ["encoder", "smoke"]
"""Go over what another chose: they make a reader of it, or the whole graph small. The others choose a model's size."""

PARAMETERS = {
    "tiny": (2.5e6, 2.6e6),
    "30m": (28e6, 31e6),
    "125m": (120e6, 130e6),
    "350m": (335e6, 365e6),
    "1b": (1.0e9, 1.2e9),
    "3b": (2.8e9, 3.2e9),
    "7b": (6.6e9, 6.9e9),
}

MODELS = sorted(PARAMETERS)


def _names(values: dict[str, Any], prefix: str = "") -> set[str]:
    """Dotted names of all values."""
    names = set()
    for key, value in values.items():
        names |= _names(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"}
    return names


def test_every_recipe_is_tested_here() -> None:
    assert sorted(path.stem for path in recipe.RECIPES.glob("*.yaml")) == sorted([*PARAMETERS, *OVER_OTHERS])


@pytest.mark.parametrize("name", [*MODELS, *OVER_OTHERS])
def test_a_recipe_sets_what_params_yaml_has_and_the_stages_take(name: str) -> None:
    values = recipe.values(name)  # an unknown key is refused
    assert _names(values) == _names(read(FILE))
    params = check(pretrain.Params, values["pretrain"], "pretrain")
    tuning = check(finetune.Params, values["finetune"], "finetune")
    check(export.Params, values["export"], "export")
    for training in (params.training, tuning.training):
        assert training.batch_sequences % training.micro_batch == 0
    assert params.training.schedule.warmup < params.steps


@pytest.mark.parametrize("name", MODELS)
def test_a_recipe_is_a_model_of_its_name(name: str) -> None:
    values = recipe.values(name)
    least, most = PARAMETERS[name]
    assert least <= parameters(values["pretrain"]["model"], values["tokenizer"]["vocab_size"]) <= most


def test_7b_is_a_llama_with_a_vocabulary_of_32_thousand_and_a_context_of_4096() -> None:
    values = recipe.values("7b")
    assert (values["tokenizer"]["vocab_size"], values["pack"]["context"]) == (32000, 4096)


def test_a_recipe_leaves_nothing_of_another_behind(tmp_path: Path) -> None:
    names = {name: _names(read(recipe.RECIPES / f"{name}.yaml")) for name in MODELS}
    assert all(found == names["tiny"] for found in names.values())
    copy = tmp_path / "params.yaml"
    copy.write_text(FILE.read_text("utf-8"), "utf-8")
    recipe.apply("7b", copy)
    recipe.apply("tiny", copy)
    assert read(copy) == read(FILE), "tiny.yaml no longer says what params.yaml says"


def parameters(model: dict[str, Any], vocabulary: int) -> int:
    """Weights of a Llama, counted by hand."""
    width, wide = model["hidden"], model["intermediate"]
    keys = width * model["kv_heads"] // model["heads"]
    layer = 2 * width * width + 2 * width * keys + 3 * width * wide + 2 * width
    return (1 if model["tied_embeddings"] else 2) * vocabulary * width + model["layers"] * layer + width
