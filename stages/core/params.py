"""Typed parameters: params.yaml holds the values, a stage's ``Params`` their types, units and meaning."""

import ast
import dataclasses
import difflib
import inspect
import itertools
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, dataclass_transform, get_args

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from stages.core.errors import HeadwaterError

T = TypeVar("T")

FILE = Path("params.yaml")

Share = Annotated[float, Field(ge=0, le=1)]
"""Of a whole, 0–1: so percents are refused."""

LesserShare = Annotated[float, Field(ge=0, lt=1)]
"""Of a whole, but not all of it."""

# What a reader of params.yaml calls the types that pydantic names in its own words.
_EXPECTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a section with keys",
    "dataclass_type": "a section with keys",
    "dataclass_exact_type": "a section with keys",
}


# No limit can be compared with what is no number.
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def params(cls: type[T]) -> type[T]:
    """Make ``cls`` a frozen, keyword-only dataclass that refuses unknown keys and explains its fields by docstring."""
    return cast(type[T], dataclass(frozen=True, kw_only=True, config=_STRICT)(cls))


def as_json(value: Any) -> str:
    """One spelling for one set of parameters: JSON with sorted keys, for fingerprints and records."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def read(path: Path = FILE) -> dict[str, Any]:
    """The whole of params.yaml.

    Raises:
        HeadwaterError: the file is missing or is not a YAML mapping.
    """
    try:
        values = yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)
    except FileNotFoundError:
        raise HeadwaterError(f"{path}: no such file; run from the project's root") from None
    except IsADirectoryError:
        raise HeadwaterError(f"{path}: a folder, where a file is to be") from None
    except UnicodeDecodeError as error:
        raise HeadwaterError(f"{path}: not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise HeadwaterError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise HeadwaterError(f"{path}: must be a mapping of sections, got {type(values).__name__}")
    return values


def load(kind: type[T], section: str, path: Path = FILE) -> T:
    """The values of ``section`` in ``path``, checked against ``kind``.

    Raises:
        HeadwaterError: names the first key that is missing, unknown (with the nearest valid one) or of another type.
    """
    values = read(path)
    if section not in values:
        raise HeadwaterError(f"{path}: section {section!r} is missing{nearest(section, values)}")
    return check(kind, values[section], where=f"{path}: {section}")


def check(kind: type[T], values: Any, where: str) -> T:
    """``values`` as a ``kind``; errors begin with ``where`` (see :func:`load`)."""
    try:
        checked = TypeAdapter(kind).validate_python({} if values is None else values)
    except ValidationError as error:
        # An unknown key first: a misspelt one is also reported as a missing one, which would mislead.
        problems = sorted(error.errors(), key=lambda problem: problem["type"] != "unexpected_keyword_argument")
        raise HeadwaterError(_explain(kind, problems[0], where)) from None
    if switch := next(_switches(checked, values, where), None):
        raise HeadwaterError(switch)
    return checked


def _switches(checked: Any, given: Any, name: str) -> Iterator[str]:
    """What is wrong with each truth value that stands for a number: `off` would be 0, the strictest of limits."""
    if isinstance(given, bool) and not isinstance(checked, bool):
        yield f"{name} must be a number, got {_show(given)}"
    elif isinstance(given, Mapping):
        inner = vars(checked) if dataclasses.is_dataclass(checked) else checked
        for key, value in given.items():
            yield from _switches(inner.get(key) if isinstance(inner, Mapping) else inner, value, f"{name}.{key}")


def _explain(kind: Any, problem: Any, where: str) -> str:
    location = [str(part) for part in problem["loc"]]
    name = ".".join([where, *location])
    got = problem["input"]
    if problem["type"] == "missing":
        return f"{name} is missing"
    if problem["type"] == "unexpected_keyword_argument":
        known = _fields(kind, location[:-1])
        return f"{name} is not a parameter{nearest(location[-1], known)}"
    if problem["type"] in _EXPECTED:
        return f"{name} must be {_EXPECTED[problem['type']]}, got {_show(got)}"
    said = f"{name}: {problem['msg'].removeprefix('Value error, ')}"
    return said if isinstance(got, dict) else f"{said}, got {_show(got)}"  # not a whole section, for one of its values


def _show(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields(kind: Any, location: list[str]) -> list[str]:
    for part in location:
        if dataclasses.is_dataclass(kind):
            kind = {field.name: field.type for field in dataclasses.fields(kind)}.get(part, kind)
        else:  # a list, or one of several kinds, which pydantic calls by its tag
            kind = next((one for one in _within(kind) if one.__name__.lower() == part.lower()), kind)
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _within(kind: Any) -> list[type]:
    """The dataclasses that a type such as ``tuple[A | B, ...]`` is made of."""
    inner = [one for argument in get_args(kind) for one in _within(argument)]
    return [kind, *inner] if isinstance(kind, type) and dataclasses.is_dataclass(kind) else inner


def nearest(name: str, known: Iterable[object]) -> str:
    """The end of an error about an unknown ``name``: the one of ``known`` that was meant, or all of them."""
    names = sorted(map(str, known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; it has {', '.join(names)}" if names else ""


def describe(kind: Any, values: Any, indent: str = "  ") -> list[str]:
    """Lines for ``--help``: every parameter with its value and what its docstring says."""
    lines = []
    meanings = _meanings(kind)
    for field in dataclasses.fields(kind):
        value = getattr(values, field.name) if values is not None else None
        meaning = meanings.get(field.name, "")
        if dataclasses.is_dataclass(field.type):
            lines += [f"{indent}{field.name}: {meaning}".rstrip(), *describe(field.type, value, indent + "  ")]
        else:
            shown = "" if values is None else f" = {_show(value)}"
            lines.append(f"{indent}{field.name}{shown}: {meaning}".rstrip(": "))
    return lines


def _meanings(kind: type) -> dict[str, str]:
    """Field name to the docstring below it, read from the source of the class and of those that it is made of."""
    found: dict[str, str] = {}
    for one in reversed([base for base in kind.__mro__ if dataclasses.is_dataclass(base)]):
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(body, ast.ClassDef)
        found |= {
            field.target.id: " ".join(text.value.value.split())
            for field, text in itertools.pairwise(body.body)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        }
    return found
