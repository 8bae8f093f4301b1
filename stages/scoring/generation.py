"""Text that a model writes: continuations of held-out documents, answers to questions, and what tasks ask for."""

import json
import re
from collections.abc import Mapping, Sequence
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


def write(samples: Samples, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Sample from both models: ``inputs`` are the pretrained one, the tuned one and a shard of documents.

    Writes ``samples``: JSON lines with ``model``, ``prompt``, ``text`` and the ``url`` of the document.
    """
    pretrained, tuned, shard = inputs
    read = sorted(documents.read(shard, ["id", "url", "text"]), key=lambda row: rank(samples.seed, row["id"]))
    lines = []
    for model, folder, prompts in (
        ("pretrained", pretrained, _beginnings(read, samples)),
        ("tuned", tuned, _questions(read, samples)),
    ):
        scorer = _scorer(folder)
        for number, (url, prompt) in enumerate(prompts):
            ids = chat(scorer, prompt) if model == "tuned" else [scorer.begin, *scorer.encode(prompt)]
            torch.manual_seed(samples.seed + number)
            text = _continue(scorer, ids, samples.max_tokens, samples.temperature, samples.top_p)
            lines.append({"model": model, "url": url, "prompt": prompt, "text": text})
    content = "".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines)
    outputs["samples"].write_text(content, "utf-8")
    return {"in": len(lines), "out": len(lines)}


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


def chat(scorer: Scorer, question: str) -> list[int]:
    """Tokens of a conversation that opens with ``question`` and waits for the answer.

    The control tokens are the template's alone: one that is written out in the question stays text.
    """
    messages = [{"role": "user", "content": _CONTENT}]
    template = scorer.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    before, content, after = template.partition(_CONTENT)
    assert content, "the chat template leaves the user's words out"
    control = [scorer.tokenizer(part, add_special_tokens=False)["input_ids"] for part in (before, after)]
    return [*control[0], *scorer.encode(question), *control[1]]


def continue_until(scorer: Scorer, tokens: Sequence[int], until: Sequence[str], max_tokens: int) -> str:
    """Greedy continuation of ``tokens`` up to, and without, the first of the strings ``until``."""
    text = _continue(scorer, tokens, max_tokens, 0.0, 1.0, until)
    for end in until:
        text = text.partition(end)[0] if end else text
    return text


class _Until(transformers.StoppingCriteria):
    """Stops when the new text holds one of some strings."""

    def __init__(self, tokenizer: Any, start: int, until: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.start = start
        self.until = [end for end in until if end]

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        text = self.tokenizer.decode(input_ids[0, self.start :], skip_special_tokens=True)
        return torch.tensor([any(end in text for end in self.until)], device=input_ids.device)


@torch.inference_mode()
def _continue(
    scorer: Scorer,
    tokens: Sequence[int],
    max_tokens: int,
    temperature: float,
    top_p: float,
    until: Sequence[str] = (),
) -> str:
    """What the model writes behind ``tokens``, of which the last are kept if all do not fit in its context."""
    limit = min(max_tokens, scorer.context - 1)
    kept = torch.tensor([list(tokens)[-(scorer.context - limit) :]], device=scorer.device)
    sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p} if temperature else {"do_sample": False}
    written = scorer.model.generate(
        kept,
        attention_mask=torch.ones_like(kept),
        max_new_tokens=limit,
        stopping_criteria=[_Until(scorer.tokenizer, kept.shape[1], until)] if until else None,
        pad_token_id=scorer.tokenizer.pad_token_id,
        **sampling,
    )
    return scorer.tokenizer.decode(written[0, kept.shape[1] :], skip_special_tokens=True)
