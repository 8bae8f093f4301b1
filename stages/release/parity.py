"""Whether an exported model is the same model: equal token ids, close logits, the same greedy continuations."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveInt

from stages.core.errors import HeadwaterError
from stages.core.params import params
from stages.core.progress import log

_PROMPT = 32  # tokens before a greedy continuation, at most


@params
class Settings:
    """How much is compared, of held-out text with hostile text among it."""

    texts: PositiveInt
    """Texts whose token ids must be equal."""
    scored: PositiveInt
    """Passages, and as many of the hostile texts, whose logits are compared."""
    continuations: NonNegativeInt
    """Passages that are continued greedily."""
    tokens: PositiveInt
    """Length of a continuation, where the context has room."""
    seed: int
    """Of the draw of the passages."""


@dataclass(frozen=True)
class Loaded:
    """A model read back from one of its formats by a program that people run it with."""

    encode: Callable[[Sequence[str]], list[list[int]]]
    """Token ids of each text, none of it read as a control token, nothing added before or after."""
    logits: Callable[[Sequence[int]], torch.Tensor]
    """Of a sequence of ids, in float32: (tokens, vocabulary), or of a classifier (labels) or (tokens, labels)."""
    greedy: Callable[[Sequence[Sequence[int]], int], list[list[int]]] | None
    """The likeliest continuations of prompts of one length, of so many tokens, through the cache; or none."""


@dataclass(frozen=True)
class Variant:
    """What a format has written: one model, to be compared."""

    label: str
    """Format and precision, such as gguf-q8_0."""
    files: list[Path]
    tolerance: float
    """Largest difference of a logit from the original's, absolute."""
    exact: bool
    """Whether the weights have all their digits, so that the greedy continuations must be equal."""
    load: Callable[[], Loaded]


@dataclass(frozen=True)
class Expected:
    """What the original makes of the texts."""

    texts: list[str]
    ids: list[list[int]]
    """Of every text."""
    scored: list[int]
    """Indices of the texts whose logits are compared."""
    measured: list[int]
    """Those of ``scored`` that are plain passages: their bits per byte are compared too."""
    sequences: list[list[int]]
    """Of ``scored``: the ids behind ``<s>``, as far as the context reaches."""
    logits: list[torch.Tensor]
    """Of ``sequences``."""
    prompts: list[list[int]]
    continuations: list[list[int]]


@dataclass(frozen=True)
class Comparison:
    """A variant beside the original."""

    logit_difference: float
    """The largest, absolute."""
    greedy_equal: float | None
    """Share of the continuations' tokens that come before the first difference, 0–1."""
    bits_per_byte: tuple[float, float] | None
    """Bits per byte more than the original's on the plain passages, and the standard error of that (paired)."""
    tokens_per_second: float | None
    """Generated, all continuations together."""


def expect(
    original: Loaded, hostile: Sequence[str], passages: Sequence[str], settings: Settings, *, begin: int, context: int
) -> Expected:
    """The original's ids of all texts, its logits for some, and its continuations.

    Args:
        hostile: Texts of which the first are scored.
        passages: Real texts of which the first are scored and continued.
        begin: Id of ``<s>``.
        context: Longest input in tokens.
    """
    texts = [*hostile, *passages]
    ids = original.encode(texts)
    plain = list(range(len(hostile), min(len(texts), len(hostile) + settings.scored)))
    scored = [*range(min(len(hostile), settings.scored)), *plain]
    sequences = [[begin, *ids[index]][:context] for index in scored]
    logits = [original.logits(sequence) for sequence in sequences]
    prompts: list[list[int]] = []
    continuations: list[list[int]] = []
    if original.greedy:
        length = min(settings.tokens, context // 2)
        longest = sorted(sequences, key=len, reverse=True)[: settings.continuations]
        cut = min([_PROMPT, context - length, *map(len, longest)])
        prompts = [sequence[:cut] for sequence in longest]
        continuations = original.greedy(prompts, length) if prompts else []
    return Expected(texts, ids, scored, plain, sequences, logits, prompts, continuations)


def check(variant: Variant, expected: Expected) -> Comparison:
    """Read a variant back; compare ids, logits and continuations.

    Raises:
        HeadwaterError: ids differ, a logit by more than the tolerance, or a continuation that must be equal; names
            the variant and the text.
    """
    label, tolerance, exported = variant.label, variant.tolerance, variant.load()
    for text, ids, wanted in zip(expected.texts, exported.encode(expected.texts), expected.ids, strict=True):
        if ids != wanted:
            raise HeadwaterError(f"{label}: the text {text!r} becomes the tokens {ids}, in the original {wanted}")
    largest = 0.0
    found = []
    for index, sequence, wanted_logits in zip(expected.scored, expected.sequences, expected.logits, strict=True):
        logits = exported.logits(sequence)
        difference = float((logits - wanted_logits).abs().max())
        if not difference <= tolerance:  # so that NaN fails
            raise HeadwaterError(
                f"{label}: logits for the text {expected.texts[index]!r} differ by {difference:.3g} from the "
                f"original's, the tolerance is {tolerance:g}"
            )
        largest = max(largest, difference)
        found.append(logits)
    equal, speed = _continue(variant, exported, expected)
    # A classifier has neither continuations nor bits per byte.
    added = added_bits_per_byte(expected, found) if exported.greedy else None
    return Comparison(largest, equal, added, speed)


def figures(variant: Variant, expected: Expected) -> dict[str, Any]:
    """What :func:`check` finds, as metrics; said in a line of the log, with what depends on the moment."""
    found = check(variant, expected)
    size = sum(file.stat().st_size for file in variant.files)
    figures: dict[str, Any] = {
        "files": len(variant.files),
        "bytes": size,
        # Two digits: the last ones depend on how many threads add the products up.
        "max_logit_difference": float(f"{found.logit_difference:.2g}"),
    }
    said = [f"{size / 1e6:,.1f} MB", f"{len(expected.texts):,} texts with equal tokens"]
    said.append(f"logits within {found.logit_difference:.2g}")
    if found.greedy_equal is not None:
        figures["greedy_tokens_equal"] = round(found.greedy_equal, 4)
        said.append(f"{found.greedy_equal:.0%} of the greedy tokens equal")
    if found.bits_per_byte:
        figures |= costs(found.bits_per_byte)
    if found.tokens_per_second:
        said.append(f"{found.tokens_per_second:,.0f} tokens/s")
    log(f"export: {variant.label}: {', '.join(said)}")
    return figures


def costs(added: tuple[float, float]) -> dict[str, float]:
    """Bits per byte added and their standard error, to the digits that are the same on every machine."""
    return {"bits_per_byte_added": round(added[0], 4) + 0.0, "bits_per_byte_added_stderr": round(added[1], 4)}


def added_bits_per_byte(expected: Expected, logits: Sequence[torch.Tensor]) -> tuple[float, float] | None:
    """Bits per byte that other logits cost on the plain passages, and the standard error of a ratio of sums.

    Args:
        logits: Of ``expected.sequences``.
    """
    measured = set(expected.measured)
    differences, sizes = [], []
    for index, sequence, before, after in zip(
        expected.scored, expected.sequences, expected.logits, logits, strict=True
    ):
        if index in measured and len(sequence) == len(expected.ids[index]) + 1:  # none that the context cut
            differences.append(_bits(sequence, after) - _bits(sequence, before))
            sizes.append(len(expected.texts[index].encode()))
    if len(sizes) < 2:
        return None
    total = sum(sizes)
    # sum() adds floats otherwise from Python 3.12 on.
    added = math.fsum(differences) / total
    spread = math.fsum((bits - added * size) ** 2 for bits, size in zip(differences, sizes, strict=True))
    return added, math.sqrt(spread * len(sizes) / (len(sizes) - 1)) / total


def _bits(sequence: Sequence[int], logits: torch.Tensor) -> float:
    """What the tokens after the first cost, in bits."""
    chosen = torch.log_softmax(logits[:-1].double(), -1).gather(1, torch.tensor(sequence[1:]).unsqueeze(1))
    return -float(chosen.sum()) / math.log(2)


def _continue(variant: Variant, exported: Loaded, expected: Expected) -> tuple[float | None, float | None]:
    if not exported.greedy or not expected.prompts:
        return None, None
    length = len(expected.continuations[0])
    started = time.perf_counter()
    continuations = exported.greedy(expected.prompts, length)
    speed = length * len(continuations) / (time.perf_counter() - started)
    same = 0
    for prompt, found, wanted in zip(expected.prompts, continuations, expected.continuations, strict=True):
        until = next((n for n in range(length) if found[n] != wanted[n]), length)
        if variant.exact and until < length:
            raise HeadwaterError(
                f"{variant.label}: continues the tokens {prompt} greedily by {found[: until + 1]}, the original by "
                f"{wanted[: until + 1]}"
            )
        same += until
    return same / (length * len(continuations)), speed
