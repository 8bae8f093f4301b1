"""Templates: every value is made visible and escaped on its way out, unless it is markup of our own making."""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stages.core.untrusted import shorten, visible
from stages.release.figures import number

_FOLDER = Path(__file__).parent

# What Markdown reads as markup inside a line; `<`, `>` and `&` are left to the escaping of HTML, which Markdown knows.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~:])")


def html() -> Environment:
    """The environment of pages."""
    return _environment(lambda value: visible(value) if _foreign(value) else value)


def markdown() -> Environment:
    """The environment of Markdown files: a value is one run of text, whatever it holds."""
    return _environment(
        lambda value: _MARKDOWN.sub(r"\\\1", " ".join(visible(value).split())) if _foreign(value) else value
    )


def _foreign(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Markup)


def _environment(finalize: Any) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "shorten": shorten}
    return environment
