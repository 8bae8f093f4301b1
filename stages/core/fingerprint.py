"""What a result depends on besides its inputs: the code that made it and the software under that code."""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("stages", "flows")

# A relative path with a suffix.
_RESOURCE = re.compile(r"[\w-]+(/[\w.-]+)*\.\w+")

# How a build is executed and shown changes no byte, so a new progress bar leaves every shard and checkpoint in place.
_NO_BYTES = {
    f"stages.core.{name}" for name in ("collection", "engine_ray", "engine_slurm", "engines", "progress", "runtime")
}

# Import names whose distribution is called otherwise; importlib.metadata's own table takes 3 s to make.
_DISTRIBUTION = {
    "fasttext": "fasttext-numpy2-wheel",
    "llama_cpp": "llama-cpp-python",
    "ruamel": "ruamel.yaml",
    "yaml": "pyyaml",
}

# What this process has read: the file that every unit of a stage shares is read once, not for each of them.
_hashes: dict[tuple[int, ...], str] = {}
_UNSETTLED = 2.0  # seconds in which a file may change again at the same time of change, as file systems tell it


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, or of the sorted relative names and hashes of a folder's files; hexadecimal."""
    if path.is_dir():
        digest = hashlib.sha256()
        for child in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{child.relative_to(path).as_posix()}\0{file_hash(child)}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        key = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if key not in _hashes:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if time.time() - stat.st_mtime < _UNSETTLED:
                return found
            _hashes[key] = found
        return _hashes[key]


def closure(module: str) -> list[str]:
    """Names of the project's modules that ``module`` needs to be imported, itself first, then sorted."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        todo += [imported for imported in _imports(name)[0] if imported not in seen]
    return [module, *sorted(seen - {module})]


def source(module: str) -> Path:
    """The file of one of the project's modules."""
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def resources(module: str) -> list[Path]:
    """Files that ``module`` reads from its own folder, such as templates: those that its string constants name."""
    folder = source(module).parent
    constants = {node.value for node in _tree(module) if isinstance(node, ast.Constant)}
    named = {folder / text for text in constants if isinstance(text, str) and _RESOURCE.fullmatch(text)}
    return sorted(path for path in named if path.is_file())


@functools.cache
def code(module: str) -> str:
    """Hash of everything that ``module`` runs: the syntax of its import closure and the software below it.

    Comments, docstrings and layout do not count: the hash is taken over the syntax tree with docstrings removed.
    Versions of the libraries that the closure imports, and of all that those require, do count.
    """
    digest = hashlib.sha256()
    libraries: set[str] = set()
    for name in closure(module):
        if name in _NO_BYTES:
            continue
        digest.update(f"{name}\0{_normalised(name)}\n".encode())
        for resource in resources(name):
            digest.update(f"{resource.name}\0{file_hash(resource)}\n".encode())
        libraries |= _imports(name)[1]
    for name, version in sorted(software(frozenset(libraries)).items()):
        digest.update(f"{name}=={version}\n".encode())
    digest.update(f"python {sys.version_info.major}.{sys.version_info.minor}".encode())
    return digest.hexdigest()


@functools.cache
def software(libraries: frozenset[str]) -> dict[str, str]:
    """Distribution name to version for the imported top-level names and, transitively, what they require."""
    todo = [_DISTRIBUTION.get(library, library) for library in sorted(libraries)]
    versions: dict[str, str] = {}
    while todo:
        name = _canonical(todo.pop())
        if name in versions:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # required on other platforms, or for an extra
            continue
        versions[name] = distribution.version
        for requirement in distribution.requires or []:
            if "extra ==" not in requirement:
                todo.append(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])
    return versions


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def _normalised(module: str) -> str:
    return ast.dump(_tree(module)[0])


@functools.cache
def _tree(module: str) -> list[ast.AST]:
    """The syntax of ``module`` without docstrings: its root, and all that lies below."""
    nodes: list[ast.AST] = [ast.parse(source(module).read_text("utf-8"))]
    for node in nodes:  # grows; a walk by ast.walk takes as long as parsing does
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            # A field's docstring is a bare string too, so every bare string goes, not only the first.
            node.body = [
                statement
                for statement in node.body
                if not (
                    isinstance(statement, ast.Expr)
                    and isinstance(statement.value, ast.Constant)
                    and isinstance(statement.value.value, str)
                )
            ]
        nodes += ast.iter_child_nodes(node)
    return nodes


@functools.cache
def _imports(module: str) -> tuple[frozenset[str], frozenset[str]]:
    """Modules of the project, and top-level names of libraries, that ``module`` imports anywhere in its code."""
    own: set[str] = set()
    libraries: set[str] = set()
    for name in _imported_names(_tree(module)):
        top = name.split(".")[0]
        if top in PACKAGES:
            own |= _existing(name)
        elif top not in sys.stdlib_module_names:
            libraries.add(top)
    return frozenset(own | _existing(module.rpartition(".")[0])), frozenset(libraries)


def _imported_names(tree: Iterable[ast.AST]) -> Iterator[str]:
    for node in tree:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"relative import at line {node.lineno}: the project imports by full name")
            assert node.module is not None
            # `from stages.core import shards` names a module in its second half; _existing keeps what is one.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield node.module


def _existing(name: str) -> set[str]:
    return {name} if name and source(name).is_file() else set()
