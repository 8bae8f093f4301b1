"""Text that a model writes: continuations of held-out documents, answers to questions, and what tasks ask for."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import torch
import transformers
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from stages.core import documents
from stages.core.params import params
from stages.core.shards import Metrics
from stages.scoring.likelihood import Scorer, Windows
from stages.scoring.sample import rank

# Stands for the user's words while the chat template is filled in; a private-use character that no page holds alone.
_CONTENT = "\uf8ffcontent\uf8ff"

# A batch that is continued may have this many times the tokens of one that is scored: only the last token of each text
# has logits. 64 texts of 64 tokens take the demo's model 1.7 s of one core's time, one after the other 20 s.
_LOGITS = 8

_HEADING = re.compile(r"^#{1,6} (.{8,120})$", re.MULTILINE)


@params
class Samples:
    """Texts written by the models, to be read by people."""

    seed: int
    """Of the choice of documents and of the sampling."""
    continuations: NonNegativeInt
    """Held-out documents whose beginning the pretrained model continues."""
    answers: NonNegativeInt
    """Headings of held-out documents that the tuned model is asked about."""
    question: str
    """How it is asked, with ``{heading}`` in it."""
    prompt: PositiveInt
    """Length of a beginning, in characters."""
    max_tokens: PositiveInt
    """Tokens written at most."""
    temperature: NonNegativeFloat
    """Of the sampling; 0 takes the likeliest token each time."""
    top_p: Annotated[float, Field(gt=0, le=1)]
    """Only the likeliest tokens that have this probability together are sampled, 0–1."""


def continuations(samples: Samples, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Sample how a model goes on from documents: ``inputs`` are the pretrained model and a shard of documents.

    Writes ``samples``: JSON lines with ``model``, ``prompt``, ``text`` and the ``url`` of the document.
    """
    folder, shard = inputs
    scorer = _scorer(folder)
    prompts = [
        (url, prompt, [scorer.begin, *scorer.encode(prompt)])
        for url, prompt in _beginnings(_read(shard, samples), samples)
    ]
    return _write("pretrained", scorer, prompts, samples, outputs["samples"])


def answers(samples: Samples, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Sample what a model answers: ``inputs`` are the tuned model and a shard of documents; writes ``samples`` too."""
    folder, shard = inputs
    scorer = _scorer(folder)
    prompts = [(url, asked, chat(scorer, asked)) for url, asked in _questions(_read(shard, samples), samples)]
    return _write("tuned", scorer, prompts, samples, outputs["samples"])


def _read(shard: Path, samples: Samples) -> list[dict[str, Any]]:
    return sorted(documents.read(shard, ["id", "url", "text"]), key=lambda row: rank(samples.seed, row["id"]))


def _write(
    model: str, scorer: Scorer, prompts: Sequence[tuple[str, str, list[int]]], samples: Samples, path: Path
) -> Metrics:
    sampling = drawing(samples)
    limit = min(samples.max_tokens, scorer.context - 1)
    lines = []
    for number, (url, prompt, ids) in enumerate(prompts):
        torch.manual_seed(samples.seed + number)
        (new,) = _continue(scorer, [ids], limit, **sampling)
        text = scorer.tokenizer.decode(new, skip_special_tokens=True)
        lines.append({"model": model, "url": url, "prompt": prompt, "text": text})
    content = "".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines)
    path.write_text(content, "utf-8")
    return {"in": len(lines), "out": len(lines)}


def drawing(samples: Samples) -> dict[str, float]:
    """What ``generate`` of transformers is told so that it draws; nothing where the likeliest token is taken."""
    if not samples.temperature:
        return {}
    # Where top_k is not said, it is 50.
    return {"do_sample": True, "temperature": samples.temperature, "top_p": samples.top_p, "top_k": 0}


def _scorer(folder: Path) -> Scorer:
    return Scorer(folder, Windows(overlap=0.0, batch_tokens=1))


def _beginnings(read: Sequence[Mapping[str, Any]], samples: Samples) -> list[tuple[str, str]]:
    """Beginnings of documents that go on behind them, cut before white space."""
    long = [row for row in read if len(row["text"]) > 2 * samples.prompt]
    return [
        (row["url"], re.sub(r"\s+\S*$", "", row["text"][: samples.prompt])) for row in long[: samples.continuations]
    ]


def _questions(read: Sequence[Mapping[str, Any]], samples: Samples) -> list[tuple[str, str]]:
    """The first heading of documents that have one below their title."""
    headings = [(row["url"], found[1]) for row in read if len(found := _HEADING.findall(row["text"])) > 1]
    return [(url, samples.question.replace("{heading}", heading)) for url, heading in headings[: samples.answers]]


def talks(scorer: Scorer) -> bool:
    """Whether a model was tuned to converse: it ends an answer with the token that ends a turn of its template."""
    if scorer.tokenizer.chat_template is None:
        return False
    _, after = _around(scorer)
    return after[0] in _closing(scorer)


def chat(scorer: Scorer, question: str, answer: int = 0) -> list[int]:
    """Tokens of a conversation that opens with ``question`` and waits for the answer.

    The control tokens are the template's alone: one that is written out in the question stays text.

    Args:
        scorer: The model; without a chat template of its own, the question stands alone.
        question: The user's words; of those too many for the model's context the last are kept.
        answer: Tokens that the context is to have room for behind them.
    """
    if scorer.tokenizer.chat_template is None:
        return [scorer.begin, *scorer.encode(question)]
    before, after = _around(scorer)
    room = max(1, scorer.context - min(answer, scorer.context - 1) - len(before) - len(after))
    return [*before, *scorer.encode(question)[-room:], *after]


def _around(scorer: Scorer) -> tuple[list[int], list[int]]:
    """What a chat template puts before and after a user's words that are to be answered."""
    messages = [{"role": "user", "content": _CONTENT}]
    template = scorer.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    before, content, after = template.partition(_CONTENT)
    assert content, "the chat template leaves the user's words out"
    first, last = (scorer.tokenizer(part, add_special_tokens=False)["input_ids"] for part in (before, after))
    return first, last


def _closing(scorer: Scorer) -> set[int]:
    """Tokens that end a text; none, one or several are the model's own: a conversation's turn ends with its own."""
    ends = scorer.model.generation_config.eos_token_id
    return {scorer.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}


def continue_all(
    scorer: Scorer,
    prompts: Sequence[Sequence[int]],
    until: Sequence[str],
    max_tokens: int,
    done: Callable[[int], None] | None = None,
) -> list[str]:
    """Greedy continuations of prompts as text, up to, and without, the first of the strings ``until``; in their order.

    Args:
        prompts: Token ids; of those too long for the model's context the last are kept.
        done: Called with the number of texts of every batch, for the progress display.
    """
    texts = []
    for ids in continue_tokens(scorer, prompts, max_tokens, until, done):
        text = scorer.tokenizer.decode(ids, skip_special_tokens=True)
        for end in filter(None, until):
            text = text.partition(end)[0]
        texts.append(text)
    return texts


def continue_tokens(
    scorer: Scorer,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    until: Sequence[str] = (),
    done: Callable[[int], None] | None = None,
) -> list[list[int]]:
    """Greedy continuations as token ids, without the token that ends a text (see :func:`continue_all`)."""
    limit = min(max_tokens, scorer.context - 1)
    written: list[list[int]] = [[] for _ in prompts]
    lengths = [min(len(prompt), scorer.context - limit) for prompt in prompts]
    # PEFT puts virtual tokens before the padding and counts that too: only prompts of one length are told alike.
    padded = not hasattr(scorer.model, "prompt_encoder")
    for batch in _batches(lengths, limit, scorer.batch_tokens, padded=padded):
        for index, ids in zip(batch, _continue(scorer, [prompts[i] for i in batch], limit, until), strict=True):
            written[index] = ids
        if done:
            done(len(batch))
    return written


def _batches(lengths: Sequence[int], limit: int, batch_tokens: int, *, padded: bool) -> Iterator[list[int]]:
    """Indices of prompts that are continued together: of like length, or the same if not ``padded``, longest first."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        apart = not padded and batch and lengths[batch[0]] != lengths[index]
        if apart or (batch and (len(batch) + 1) * (lengths[batch[0]] + limit) > batch_tokens * _LOGITS):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


class _Until(transformers.StoppingCriteria):
    """Stops a text when what is new in it holds one of some strings."""

    def __init__(self, tokenizer: Any, start: int, until: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.start = start
        self.until = until

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        texts = self.tokenizer.batch_decode(input_ids[:, self.start :], skip_special_tokens=True)
        stop = [any(end in text for end in self.until) for text in texts]
        return torch.tensor(stop, device=input_ids.device)


@torch.inference_mode()
def _continue(
    scorer: Scorer, prompts: Sequence[Sequence[int]], limit: int, until: Sequence[str] = (), **sampling: float
) -> list[list[int]]:
    """What the model writes behind each prompt: at most ``limit`` tokens, greedy unless told how to sample.

    Prompts are padded on the left, masked; a position is counted from the first token that is not padding.
    """
    kept = [list(prompt)[-(scorer.context - limit) :] for prompt in prompts]
    longest = max(map(len, kept))
    closing = _closing(scorer)
    filling = scorer.begin if scorer.tokenizer.pad_token_id is None else scorer.tokenizer.pad_token_id
    tokens = torch.tensor([[filling] * (longest - len(row)) + row for row in kept], device=scorer.device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in kept], device=scorer.device)
    strings = [text for text in until if text]
    written = scorer.model.generate(
        tokens,
        attention_mask=mask,
        max_new_tokens=limit,
        stopping_criteria=[_Until(scorer.tokenizer, longest, strings)] if strings else None,
        pad_token_id=filling,
        **(sampling or {"do_sample": False}),
    )
    return [list(takewhile(lambda token: token not in closing, row)) for row in written[:, longest:].tolist()]
