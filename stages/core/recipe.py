"""Recipes: sparse overlays on params.yaml, applied with one command and visible as a diff.

``python -m stages.core.recipe smoke`` writes the values of infra/recipes/smoke.yaml over those of params.yaml, keeping
its comments; ``git diff params.yaml`` shows what changed and ``git checkout params.yaml`` takes it back.
"""

import argparse
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.core.errors import HeadwaterError
from stages.core.params import FILE, nearest, read

RECIPES = Path("infra/recipes")


def apply(recipe: str, file: Path = FILE) -> list[str]:
    """Write a recipe's values over those of ``file``; the dotted names of the values that changed.

    Raises:
        HeadwaterError: no such recipe, or it has a key that params.yaml has not.
    """
    path = RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        raise HeadwaterError(f"{path}: no such recipe{nearest(recipe, sorted(p.stem for p in RECIPES.glob('*.yaml')))}")
    read(file)
    yaml = YAML()
    yaml.width = 118
    values = yaml.load(file)
    changed = _overlay(values, read(path), str(path), "")
    yaml.dump(values, file)
    return changed


def _overlay(values: MutableMapping[str, Any], overlay: dict[str, Any], where: str, prefix: str) -> list[str]:
    changed = []
    for key, value in overlay.items():
        name = f"{prefix}{key}"
        if key not in values:
            raise HeadwaterError(f"{where}: {name} is not in {FILE}{nearest(key, values)}")
        if isinstance(value, dict) and isinstance(values[key], MutableMapping):
            changed += _overlay(values[key], value, where, f"{name}.")
        elif values[key] != value:
            values[key] = value
            changed.append(name)
    return changed


def main() -> None:
    """Apply the recipe named on the command line and say what changed."""
    parser = argparse.ArgumentParser(prog="python -m stages.core.recipe", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("recipe", help="name of a file in infra/recipes, without .yaml")
    try:
        changed = apply(parser.parse_args().recipe)
    except HeadwaterError as error:
        sys.exit(f"error: {error}")
    print("\n".join(changed) or "nothing to change")


if __name__ == "__main__":
    main()
