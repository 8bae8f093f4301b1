"""Recipes: sparse overlays on params.yaml, applied with one command and visible as a diff.

``python -m stages.core.recipe 125m`` writes the values of infra/recipes/125m.yaml over those of params.yaml, keeping
its comments, and prints the difference; ``--diff`` prints it and writes nothing. ``git checkout params.yaml`` takes it
back.
"""

import argparse
import difflib
import io
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.core.errors import HeadwaterError
from stages.core.params import FILE, nearest, read

RECIPES = Path("infra/recipes")


def values(recipe: str, file: Path = FILE) -> dict[str, Any]:
    """The values of ``file`` under those of a recipe.

    Raises:
        HeadwaterError: no such recipe, or it has a key that params.yaml has not.
    """
    found, (path, overlay) = read(file), _read(recipe)
    _overlay(found, overlay, str(path), "")
    return found


def difference(recipe: str, file: Path = FILE) -> tuple[str, str]:
    """``file`` with a recipe's values written over its own, and a unified diff that says so; writes nothing.

    Raises:
        HeadwaterError: no such recipe, or it has a key that params.yaml has not.
    """
    read(file)
    path, overlay = _read(recipe)
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 118, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    before, text = file.read_text("utf-8"), io.StringIO()
    document = yaml.load(before)
    if not _overlay(document, overlay, str(path), ""):
        return before, ""
    yaml.dump(document, text)
    lines = (before.splitlines(keepends=True), text.getvalue().splitlines(keepends=True))
    return text.getvalue(), "".join(difflib.unified_diff(*lines, file.name, f"{file.name} with {path}"))


def apply(recipe: str, file: Path = FILE) -> str:
    """Write a recipe's values over those of ``file``; the diff that :func:`difference` gives."""
    text, changes = difference(recipe, file)
    file.write_text(text, "utf-8")
    return changes


def _read(recipe: str) -> tuple[Path, dict[str, Any]]:
    path = RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        raise HeadwaterError(f"{path}: no such recipe{nearest(recipe, [p.stem for p in RECIPES.glob('*.yaml')])}")
    return path, read(path)


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
    """Apply the recipe named on the command line and show what changed."""
    parser = argparse.ArgumentParser(prog="python -m stages.core.recipe", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("recipe", help="name of a file in infra/recipes, without .yaml")
    parser.add_argument("--diff", action="store_true", help="show what would change and write nothing")
    arguments = parser.parse_args()
    try:
        changes = difference(arguments.recipe)[1] if arguments.diff else apply(arguments.recipe)
    except HeadwaterError as error:
        sys.exit(f"error: {error}")
    print(changes or "nothing to change", end="" if changes else "\n")


if __name__ == "__main__":
    main()
