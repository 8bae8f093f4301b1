"""Prompts and their completions: text to text, without turns."""

from typing import NamedTuple

from stages.text import tables
from stages.text.answers import Encoded
from stages.text.tables import Columns, Row
from stages.text.tokenizers import BEGIN, END, Tokenizer


class Completion(NamedTuple):
    """A prompt and what completes it."""

    source: str
    """File and row."""
    prompt: str
    completion: str


def completion(row: Row, columns: Columns) -> Completion:
    """A row's prompt and completion.

    Raises:
        HeadwaterError: it has no such column, or nothing in it; names file and row.
    """
    filled = [column for column in columns.prompt if tables.get(row, column) != ""]
    # Where all are empty, the first one is named.
    prompt = "\n".join(tables.text(row, column) for column in filled or columns.prompt[:1])
    return Completion(row.source, prompt, tables.text(row, columns.completion))


def encode(tokenizer: Tokenizer, row: Completion, limit: int) -> Encoded | None:
    """``<s> prompt completion </s>``, of which the completion and ``</s>`` are learned.

    Prompt and completion are encoded on their own, so that what is asked later, a prompt alone, has the same ids. Of a
    row of more than ``limit`` tokens, the prompt loses its beginning; None if the completion alone is longer.
    """
    prompt, completion = tokenizer.encode(row.prompt), [*tokenizer.encode(row.completion), END]
    room = limit - 1 - len(completion)
    if room < 1:
        return None
    kept = prompt[-room:]
    learned = [False] * (1 + len(kept)) + [True] * len(completion)
    return Encoded(row.source, [BEGIN, *kept, *completion], learned, cut=len(kept) < len(prompt))
