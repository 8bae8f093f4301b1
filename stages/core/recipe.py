"""Recipes: sparse overlays on params.yaml, applied with one command and visible as a diff.

``python -m stages.core.recipe 125m`` writes the values of infra/recipes/125m.yaml over those of params.yaml, keeping
its comments, and prints the difference; ``--diff`` prints it and writes nothing. ``--set pretrain.steps=100`` sets
single values after it, or alone. ``git checkout params.yaml`` takes it all back.
"""

import argparse
import difflib
import io
import re
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.error import YAMLError

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


def difference(recipe: str | None, file: Path = FILE, settings: Sequence[str] = ()) -> tuple[str, str]:
    """``file`` with other values written over its own, and a unified diff that says so; writes nothing.

    Args:
        recipe: Whose values; None takes no recipe's.
        file: To be changed.
        settings: Single values, each as name=value with the dotted name of the value, over the recipe's.

    Raises:
        HeadwaterError: no such recipe, or a key that params.yaml has not.
    """
    read(file)
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 118, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    before, text = file.read_text("utf-8"), io.StringIO()
    document = yaml.load(before)
    path, overlay = _read(recipe) if recipe else (None, {})
    changed = _overlay(document, overlay, str(path), "")
    for setting in settings:
        changed += _overlay(document, _nested(setting), "--set", "")
    if not changed:
        return before, ""
    yaml.dump(document, text)
    lines = (before.splitlines(keepends=True), text.getvalue().splitlines(keepends=True))
    return text.getvalue(), "".join(difflib.unified_diff(*lines, file.name, f"{file.name} with {path or '--set'}"))


def apply(recipe: str | None, file: Path = FILE, settings: Sequence[str] = ()) -> str:
    """Write other values over those of ``file``; the diff that :func:`difference` gives."""
    text, changes = difference(recipe, file, settings)
    file.write_text(text, "utf-8")
    return changes


def _nested(setting: str) -> dict[str, Any]:
    """``a.b=1`` as ``{"a": {"b": 1}}``."""
    name, equals, value = setting.partition("=")
    if not equals:
        raise HeadwaterError(f"--set {setting}: must be name=value, such as pretrain.steps=100")
    try:
        found: Any = YAML(typ="safe", pure=True).load(value)  # libyaml refuses [https://example.org/] without quotes
    except YAMLError as error:
        raise HeadwaterError(f"--set {setting}: {value!r} is no YAML: {' '.join(str(error).split())}") from None
    for part in reversed(name.split(".")):
        found = {part: found}
    return dict(found)


def _read(recipe: str) -> tuple[Path, dict[str, Any]]:
    path = RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        raise HeadwaterError(f"{path}: no such recipe{nearest(recipe, [p.stem for p in RECIPES.glob('*.yaml')])}")
    return path, read(path)


def _overlay(values: MutableMapping[str, Any], overlay: dict[str, Any], where: str, prefix: str) -> list[str]:
    changed = []
    for said, value in overlay.items():
        key = next((one for one in values if str(one) == str(said)), said)  # such as the 2 of `top_ngrams.2=0.3`
        name = f"{prefix}{key}"
        if key not in values:
            raise HeadwaterError(f"{where}: {name} is not in {FILE}{nearest(key, values)}")
        if isinstance(values[key], MutableMapping):
            if not isinstance(value, dict):
                raise HeadwaterError(f"{where}: {name} is a section{nearest('', values[key])}")
            changed += _overlay(values[key], value, where, f"{name}.")
        elif isinstance(value, dict):
            raise HeadwaterError(f"{where}: {name} is a value, not a section")
        elif values[key] != value:
            values[key] = _laid_out_as(values[key], value)
            changed.append(name)
    return changed


def _laid_out_as(before: Any, value: Any) -> Any:
    """The value; a list that takes the place of one on one line is on one line, too."""
    if not (isinstance(value, list) and isinstance(before, CommentedSeq) and (before.fa.flow_style() or not before)):
        return value
    if re.search(r":\S", repr(value)):  # such as an address, which libyaml refuses there without quotes
        return value
    written = CommentedSeq(value)
    written.fa.set_flow_style()
    return written


def main() -> None:
    """Apply the recipe named on the command line and show what changed."""
    parser = argparse.ArgumentParser(prog="python -m stages.core.recipe", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("recipe", nargs="?", help="name of a file in infra/recipes, without .yaml")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help="single values, over the recipe's"
    )
    parser.add_argument("--diff", action="store_true", help="show what would change and write nothing")
    arguments = parser.parse_args()
    if not (arguments.recipe or arguments.set):
        known = sorted(path.stem for path in RECIPES.glob("*.yaml"))
        parser.error(f"name a recipe, {', '.join(known)}, or --set values")
    try:
        if arguments.diff:
            _, changes = difference(arguments.recipe, settings=arguments.set)
        else:
            changes = apply(arguments.recipe, settings=arguments.set)
    except HeadwaterError as error:
        sys.exit(f"error: {error}")
    print(changes or "nothing to change", end="" if changes else "\n")


if __name__ == "__main__":
    main()
