"""The arrows between modules: flows → stages/*.py → stages/<room>/ → stages/core/, and from no room to another."""

import ast
from collections.abc import Iterator
from pathlib import Path

from stages.core.fingerprint import ROOT

MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "stages").rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """The parts of every name of the project that a module imports, ``from a import b`` as a.b."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((*node.module.split("."), alias.name) for alias in node.names)


def test_no_arrow_points_back_or_sideways() -> None:
    rooms = {folder.name for folder in (ROOT / "stages").iterdir() if (folder / "__init__.py").is_file()}
    wrong = []
    for path in MODULES:
        within = rooms if len(path.parts) == 2 else {path.parts[1], "core"}
        for name in imported(path):
            if name[0] in ("flows", "tests") or (name[0] == "stages" and name[1] not in within):
                wrong.append(f"{path} imports {'.'.join(name)}")
    assert rooms >= {"core", "web", "text", "training", "scoring", "release"}
    assert not wrong
