"""What each task reads, as token ids: rows that a user brings, sections of the crawl, or the tokens of pretraining."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import model_validator

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.examples import Material
from stages.core.params import nearest, params
from stages.core.progress import log
from stages.text import (
    answers,
    chat,
    completions,
    conversations,
    labelled,
    preferences,
    pretraining,
    sampling,
    tables,
)
from stages.text import headings as sections
from stages.text.augmentation import Augmentation
from stages.text.tokenizers import Tokenizer

Origin = Literal["headings", "incoming", "tokens"]


@params
class Reading:
    """What is learned, and where it comes from."""

    task: str
    """What is learned. chat: the answers of conversations; completion: what completes a prompt; classify: the class of
    a text; tag: the tag of each word; score: the number of a text; preference: which of two answers is preferred;
    distill: what a larger model makes of the answers of conversations, or of any text."""
    data: Origin
    """headings: conversations made from the training documents; incoming: the user's rows in incoming/finetune; tokens:
    the packed rows of pretraining, for distill."""
    rows: sampling.Wanted
    """Which rows are learned from, and which are measured on."""
    augmentation: Augmentation
    """Of classify, tag and score: how rows change while they are learned from."""
    headings: sections.Headings
    """How documents become conversations."""
    seed: int
    """Of all that is drawn: rows, their order and changes, the way a question is put, the weights of a new head."""

    @model_validator(mode="after")
    def _known(self) -> "Reading":
        if self.task not in _TASKS:
            raise ValueError(f"no such task: {self.task!r}{nearest(self.task, _TASKS)}")
        origins = _TASKS[self.task].origins
        if self.data not in origins:
            holds = {"headings": "headings makes conversations", "tokens": "tokens are rows of any text"}
            fitting = " or ".join(name for name, task in _TASKS.items() if self.data in task.origins)
            raise ValueError(f"{holds[self.data]}, for {fitting}; {self.task} needs data: {' or '.join(origins)}")
        return self


class Sources(NamedTuple):
    """What there is to learn from."""

    documents: Path
    """Training documents, whose headings ask."""
    tokens: Path
    """Packed rows that the model was pretrained on."""
    brought: Path
    """Folder with the user's rows."""


def read(reading: Reading, sources: Sources, tokenizer: Tokenizer, limit: int) -> Material:
    """What there is to learn from.

    Args:
        reading: What is wanted.
        sources: Where it lies.
        tokenizer: The model's.
        limit: Tokens that the model reads at most.

    Raises:
        HeadwaterError: there is nothing, or a row is not as it should be; names file and row.
    """
    if limit < 2:
        raise HeadwaterError(
            f"{limit} positions of the context are left to read: lower finetune.adapter.virtual_tokens"
        )
    return _TASKS[reading.task].read(reading, sources, tokenizer, limit)


def _chat(reading: Reading, sources: Sources, tokenizer: Tokenizer, limit: int) -> Material:
    """Answers of conversations."""
    if reading.data == "incoming":
        given = sampling.gather(sources.brought, reading.rows, reading.seed, conversations.conversation)
    else:
        if brought := tables.readable(sources.brought):
            log(f"finetune: {brought[0]} is not used: finetune.data is headings; set it to incoming")
        paths = shards.files(sources.documents, "*.parquet")
        given = sections.conversations(reading.headings, paths, reading.rows, reading.seed)
        if not given.seen:
            raise HeadwaterError(
                f"no document in {sources.documents} has a heading, and headings ask the questions: put conversations "
                f"into {sources.brought} and set finetune.data to incoming"
            )
    return answers.encoded(given, functools.partial(chat.encode, tokenizer, limit=limit + 1))


def _distill(reading: Reading, sources: Sources, tokenizer: Tokenizer, limit: int) -> Material:
    """Answers of conversations, or all tokens of packed rows."""
    if reading.data == "tokens":
        return pretraining.rows(sources.tokens, reading.rows, reading.seed, limit)
    return _chat(reading, sources, tokenizer, limit)


def _completion(reading: Reading, sources: Sources, tokenizer: Tokenizer, limit: int) -> Material:
    """What completes prompts."""
    given = sampling.gather(sources.brought, reading.rows, reading.seed, completions.completion)
    return answers.encoded(given, functools.partial(completions.encode, tokenizer, limit=limit + 1))


def _preference(reading: Reading, sources: Sources, tokenizer: Tokenizer, limit: int) -> Material:
    """Which of two answers is preferred."""
    given = sampling.gather(sources.brought, reading.rows, reading.seed, preferences.pair)
    return preferences.encoded(given, tokenizer, limit + 1)


def _labels(one: Any, encode: Any, reading: Reading, sources: Sources, tokenizer: Tokenizer, limit: int) -> Material:
    """Classes of texts, tags of words, numbers of texts."""
    given = sampling.gather(sources.brought, reading.rows, reading.seed, one)
    encoding = functools.partial(encode, tokenizer, limit=limit)
    tagged = one is labelled.tags
    return labelled.encoded(given, reading.augmentation, reading.rows.labels, reading.seed, encoding, tagged=tagged)


class _Task(NamedTuple):
    read: Callable[[Reading, Sources, Tokenizer, int], Material]
    origins: tuple[Origin, ...] = ("incoming",)


_TASKS: Mapping[str, _Task] = {
    "chat": _Task(_chat, ("headings", "incoming")),
    "completion": _Task(_completion),
    "classify": _Task(functools.partial(_labels, labelled.classes, labelled.encode)),
    "tag": _Task(functools.partial(_labels, labelled.tags, labelled.encode_words)),
    "score": _Task(functools.partial(_labels, labelled.scores, labelled.encode)),
    "preference": _Task(_preference),
    "distill": _Task(_distill, ("headings", "incoming", "tokens")),
}
