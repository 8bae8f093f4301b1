"""What a model repeats: passages of its training data word for word, and obscene or hateful words.

It is given the beginning of a passage and goes on greedily, as in Carlini et al. 2022, "Quantifying Memorization Across
Neural Language Models" (arXiv:2202.07646): 50 tokens of what it writes that are in the training data word for word are
no coincidence. Beginnings from the training data show what can be drawn out of the model, those from held-out documents
what comes of itself. Greedy text is what is measured: sampling, or a prompt made for the purpose, can draw out more.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from stages.core import documents
from stages.core.errors import HeadwaterError
from stages.core.order import Permutation
from stages.core.params import params
from stages.core.progress import meter
from stages.core.shards import Metrics, files
from stages.core.tokens import TokenShards
from stages.scoring import toxicity, verbatim
from stages.scoring.generation import continue_tokens
from stages.scoring.likelihood import Scorer, Windows
from stages.scoring.sample import rank


@params
class Memorisation:
    """What the models continue, to see what they repeat."""

    seed: int
    """Of the passages."""
    passages: NonNegativeInt
    """Passages of training documents that are continued, and as many of held-out ones; 0 measures nothing."""
    prompt: PositiveInt
    """Tokens of a passage that a model is given."""
    max_tokens: PositiveInt
    """Tokens that it writes at most."""
    window: PositiveInt
    """Tokens in a row that count as repeated when the training data has them."""


@params
class Continued:
    """How a model continues."""

    memorisation: Memorisation
    windows: Windows
    """Its ``batch_tokens`` bound the memory."""


class _Passage(NamedTuple):
    kind: str
    """``training`` or ``heldout``."""
    document: str
    tokens: list[int]


def measure(continued: Continued, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Continue passages: ``inputs`` are the model, packed tokens, the folder of their documents, held-out documents.

    Writes ``figures`` (JSON): for each kind of passage the share that was continued with training data and the share
    with listed words, each with its 95 % interval, and the first repeated window of each text with its page.

    Raises:
        HeadwaterError: the tokens were packed with another tokenizer than the model's.
    """
    folder, tokens, training, heldout = inputs
    asked = continued.memorisation
    scorer, packed = Scorer(folder, continued.windows), TokenShards(tokens)
    if packed.vocab_size != len(scorer.tokenizer):
        sizes = f"of {packed.vocab_size:,} tokens, and that of {folder} has {len(scorer.tokenizer):,}"
        raise HeadwaterError(f"{tokens} was packed with a vocabulary {sizes}: `dvc repro pack` packs it again")
    passages = [*_trained(packed, asked), *_held_out(scorer, heldout, asked)]
    with meter(f"continuations, {outputs['figures'].stem}", len(passages), "texts") as progress:
        prompts = [passage.tokens for passage in passages]
        written = continue_tokens(scorer, prompts, asked.max_tokens, done=progress.advance)
    places = verbatim.search(packed, written, asked.window)
    named = {passage.document for passage in passages} | {one for found in places for one in found.values()}
    pages = _pages([*files(training), heldout], named)
    rows = [
        _row(scorer, passage, ids, found, asked.window, pages)
        for passage, ids, found in zip(passages, written, places, strict=True)
    ]
    outputs["figures"].write_text(json.dumps(_figures(rows, asked.window), ensure_ascii=False, sort_keys=True), "utf-8")
    return {"in": len(rows), "out": len(rows)}


def _trained(packed: TokenShards, asked: Memorisation) -> Iterator[_Passage]:
    """Passages of training documents with at least a window of the same document behind them, one of a row."""
    order = Permutation(max(1, len(packed)), asked.seed, 0)
    count = 0
    for position in range(len(packed)):
        if count == asked.passages:
            return
        (row,) = order(np.array([position])).tolist()
        span = max(packed.documents(row), key=lambda span: (span.end - span.start, -span.start), default=None)
        room = span.end - span.start - asked.prompt - asked.window if span else -1
        if span is None or room < 0:
            continue
        start = span.start + int(rank(asked.seed, f"{span.id} {row}"), 16) % (room + 1)
        yield _Passage("training", span.id, packed.rows([row])[0][start : start + asked.prompt].tolist())
        count += 1


def _held_out(scorer: Scorer, shard: Path, asked: Memorisation) -> Iterator[_Passage]:
    """Passages of held-out documents, of each as many as of the others where there are enough documents."""
    texts = {row["id"]: scorer.encode(row["text"]) for row in documents.read(shard, ["id", "text"])}
    places = [
        (rank(asked.seed, f"{name} {start}"), name, start)
        for name, ids in texts.items()
        for start in range(0, len(ids) - asked.prompt + 1, asked.prompt)
    ]
    for _, name, start in sorted(places)[: asked.passages]:
        yield _Passage("heldout", name, texts[name][start : start + asked.prompt])


def _pages(shards: Sequence[Path], wanted: set[str]) -> dict[str, dict[str, str]]:
    """URL and language of documents by id."""
    columns = ["id", "url", "language"]
    return {row["id"]: row for shard in shards for row in documents.read(shard, columns) if row["id"] in wanted}


def _row(
    scorer: Scorer,
    passage: _Passage,
    written: Sequence[int],
    found: Mapping[int, str],
    window: int,
    pages: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """A continuation: the first window of it that is training data, and its listed words."""
    start, source = next(iter(found.items()), (0, ""))
    repeated = written[start : start + window] if found else []
    text = scorer.tokenizer.decode(list(written), skip_special_tokens=True)
    return {
        "kind": passage.kind,
        "repeated": bool(found),
        "text": scorer.tokenizer.decode(list(repeated), skip_special_tokens=True),
        "url": pages.get(source, {}).get("url", ""),
        "words": toxicity.listed(text, pages.get(passage.document, {}).get("language", "")),
    }


def _figures(rows: Sequence[Mapping[str, Any]], window: int) -> dict[str, Any]:
    figures = {}
    for kind in ("training", "heldout"):
        chosen = [row for row in rows if row["kind"] == kind]
        repeated = [row for row in chosen if row["repeated"]]
        figures[kind] = {
            "passages": len(chosen),
            "window": window,
            "repeated": share(len(repeated), len(chosen)),
            "listed_words": share(sum(bool(row["words"]) for row in chosen), len(chosen)),
            "texts": [{key: row[key] for key in ("text", "url")} for row in repeated],
        }
    return figures


def share(count: int, of: int) -> dict[str, float | int | None]:
    """A share with its 95 % interval after Wilson (1927), which is also one where nothing or all was counted."""
    if not of:
        return {"count": 0, "share": None, "low": None, "high": None}
    z = 1.96
    middle = (count + z * z / 2) / (of + z * z)
    reach = z * math.sqrt(count * (of - count) / of + z * z / 4) / (of + z * z)
    return {"count": count, "share": count / of, "low": max(0.0, middle - reach), "high": min(1.0, middle + reach)}
