"""What dvc.yaml promises, checked: modules, stages and sections agree; so do commands, paths and imported code.

DVC follows neither imports nor the paths inside a command, so a stage whose entry is incomplete would be served stale.
``python -m stages.core.contract`` prints every disagreement; with ``--write`` it first sets each stage's code in
``deps`` to the import closure of its module.
"""

import argparse
import io
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.core.fingerprint import ROOT, closure, resources, source

PIPELINE = ROOT / "dvc.yaml"

ENVIRONMENT = "requirements.lock"
"""What every stage depends on besides its code: another version of a library may make other bytes."""


def problems() -> list[str]:
    """Every way in which dvc.yaml, params.yaml and the modules disagree, one line each; empty when all is well."""
    stages = _yaml().load(PIPELINE)["stages"]
    sections = _yaml().load(ROOT / "params.yaml")
    modules = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    found = [f"{name}: is in dvc.yaml but has no module stages/{name}.py" for name in sorted(set(stages) - modules)]
    found += [f"{name}: stages/{name}.py has no stage in dvc.yaml" for name in sorted(modules - set(stages))]
    found += [f"{name}: has no section in params.yaml" for name in sorted(set(stages) - set(sections))]
    found += [f"{name}: section of params.yaml without a stage" for name in sorted(set(sections) - set(stages))]
    for name in sorted(set(stages) & modules):
        found += [f"{name}: {problem}" for problem in _stage_problems(name, stages[name])]
    return found


def code_deps(stage: str) -> list[str]:
    """The files that a stage's module runs, relative to the project's root, and the lock file."""
    modules = closure(f"stages.{stage}")
    files = {source(module) for module in modules} | {path for module in modules for path in resources(module)}
    return [*sorted(path.relative_to(ROOT).as_posix() for path in files), ENVIRONMENT]


def write() -> None:
    """Set the code in every stage's ``deps`` to its import closure; paths of data stay as they are."""
    yaml = _yaml()
    document = yaml.load(PIPELINE)
    for name, stage in document["stages"].items():
        produced = set(_paths(stage, ("outs", "metrics")))
        stage["deps"] = [path for path in _command_paths(stage) if path not in produced] + code_deps(name)
    text = io.StringIO()
    yaml.dump(document, text)
    PIPELINE.write_text(text.getvalue(), "utf-8")


def _stage_problems(name: str, stage: Any) -> Iterator[str]:
    module = shlex.split(stage["cmd"])[:3]
    if module != ["python", "-m", f"stages.{name}"]:
        yield f"cmd must begin with `python -m stages.{name}`, got {' '.join(module)}"
    if list(stage.get("params", [])) != [name]:
        yield f"params must be [{name}], got {list(stage.get('params', []))}"
    in_command = set(_command_paths(stage))
    produced = set(_paths(stage, ("outs", "metrics")))
    declared = set(_paths(stage, ("deps",)))
    code = set(code_deps(name))
    yield from (f"{path} is declared but is not in cmd" for path in sorted((declared | produced) - code - in_command))
    yield from (f"{path} is in cmd but is no dep, out or metric" for path in sorted(in_command - declared - produced))
    yield from (f"{path} is imported but is not in deps" for path in sorted(code - declared))
    for path in sorted(declared - code):
        if path.startswith("stages/"):
            yield f"{path} is in deps but is not imported"
    yield from (f"{path} lies outside data/{name}" for path in _paths(stage, ("outs",)) if not _under(path, name))


def _under(path: str, name: str) -> bool:
    return path == f"data/{name}" or path.startswith(f"data/{name}/")


def _command_paths(stage: Any) -> list[str]:
    """Every value of a flag in the command, for all take paths, but dvc.yaml, which DVC refuses as a dependency."""
    return [word for word in shlex.split(stage["cmd"])[3:] if not word.startswith("--") and word != PIPELINE.name]


def _paths(stage: Any, kinds: tuple[str, ...]) -> list[str]:
    entries = [entry for kind in kinds for entry in stage.get(kind) or []]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = 118
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def main() -> int:
    """Print what disagrees; 1 where anything does."""
    parser = argparse.ArgumentParser(prog="python -m stages.core.contract", description=__doc__)
    parser.add_argument("--write", action="store_true", help="set the code in deps to the import closure first")
    if parser.parse_args().write:
        write()
    found = problems()
    print(
        "\n".join(found)
        or f"{PIPELINE.relative_to(Path.cwd()) if PIPELINE.is_relative_to(Path.cwd()) else PIPELINE}: agrees"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
