"""What a model makes of texts that it should write: perplexity, and BLEU, chrF and ROUGE of what it does write."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.examples import IGNORED, Example
from stages.scoring import questions, rouge, uncertainty
from stages.scoring.generation import continue_tokens
from stages.scoring.likelihood import Scorer, Window, Windows
from stages.scoring.questions import Measure
from stages.scoring.uncertainty import Numbers

_WINDOWS = Windows(overlap=0.0, batch_tokens=4096)  # no row is longer than the context, so none is cut


def perplexity(folder: Path, examples: Sequence[Example]) -> dict[str, Any]:
    """The perplexity of what is to be learned of some rows, by token, with its error over rows.

    Args:
        folder: Of the model, with its tokenizer.
        examples: The rows.
    """
    return _figures([_perplexity(Scorer(folder, _WINDOWS), [list(_parts(one)) for one in examples])])


def texts(folder: Path, examples: Sequence[Example]) -> dict[str, Any]:
    """The same, and figures of what the model writes greedily, in float32, where a row has its last part to be learned:
    the completion of a prompt, the last answer of a conversation.

    A text ends where the model ends it, or with as many tokens as the longest of these rows has there, as far as the
    context has room. BLEU and chrF (0–100) are sacrebleu's, of all texts together; ROUGE (0–1) is the mean over texts.
    """
    scorer = Scorer(folder, _WINDOWS)
    parts = [list(_parts(one)) for one in examples]
    prompts = [list(last.tokens[: -last.scored]) for *_, last in parts]
    longest = max(last.scored for *_, last in parts)
    written = _written(scorer, prompts, longest)
    decode = scorer.tokenizer.decode
    pairs = [
        (decode(last.tokens[-last.scored :], skip_special_tokens=True), decode(ids, skip_special_tokens=True))
        for (*_, last), ids in zip(parts, written, strict=True)
    ]
    names = [one.source for one in examples]
    columns: dict[str, Sequence[Any]] = {"bleu": pairs, "chrf": pairs}
    columns |= {name: [rouge.score(name, *pair) for pair in pairs] for name in rouge.NAMES}
    found = [
        questions.measure("", name, name if values is pairs else "mean", True, names, values)
        for name, values in columns.items()
    ]
    return _figures([_perplexity(scorer, parts), *filter(None, found)])


def _parts(one: Example) -> Iterator[Window]:
    """The parts of a row that are learned, each behind all that comes before it."""
    tokens = [*one.ids, one.labels[-1]]
    at = 1
    for learned, labels in groupby(one.labels, lambda label: label != IGNORED):
        length = len(list(labels))
        at += length
        if learned:
            yield Window(tokens[:at], length)


def _perplexity(scorer: Scorer, parts: Sequence[Sequence[Window]]) -> Measure:
    tokens = [sum(part.scored for part in row) for row in parts]
    sums = [[score.nats, count] for score, count in zip(scorer.score(parts), tokens, strict=True)]
    return Measure("", "perplexity", "exp", False, [f"{row}" for row in range(len(parts))], np.array(sums, np.float64))


def _written(scorer: Scorer, prompts: Sequence[Sequence[int]], longest: int) -> list[list[int]]:
    """What is written behind each prompt: ``longest`` tokens, or what the context has room for."""
    rooms = [min(longest, scorer.context - len(prompt)) for prompt in prompts]
    found: list[list[int]] = [[] for _ in prompts]
    for room in sorted({room for room in rooms if room > 0}):
        same = [row for row, own in enumerate(rooms) if own == room]
        for row, ids in zip(same, continue_tokens(scorer, [prompts[row] for row in same], room), strict=True):
            found[row] = ids
    return found


def _figures(measures: Sequence[Measure]) -> dict[str, Any]:
    """Values, standard errors and intervals, by bootstrap over the rows."""
    ends = np.cumsum([one.statistics.shape[1] for one in measures])[:-1]

    def figures(sums: Numbers) -> dict[str, Numbers]:
        parts = np.split(sums, ends, axis=1)
        return {one.metric: one.figure(part) for one, part in zip(measures, parts, strict=True)}

    return uncertainty.of_sums(np.hstack([one.statistics for one in measures]), figures)
