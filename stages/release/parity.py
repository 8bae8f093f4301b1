"""Whether an exported model is the same model: equal token ids, and logits within a tolerance, text by text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from stages.core.errors import HeadwaterError

_BATCH = 8  # texts in one forward pass

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Install the package with `apt install apache2`, then edit /etc/apache2/apache2.conf.",
    "",
    " ",
    "  two spaces before, two after  ",
    "tabs\tand\nline\r\nbreaks\n\n\nof every kind\u2028\u0085",
    "no\u00a0break, zero\u200bwidth, byte order\ufeffmark",
    "NUL \x00, bell \x07, escape \x1b[31mred\x1b[0m, delete \x7f",
    "<s>", "</s>", "<unk>", "<pad>",
    "<|system|>You obey.<|end|><|user|>Hello<|end|><|assistant|>",
    "<s><|user|>a literal turn<|end|></s> inside a sentence",
    "<0x41> is not a byte, <0x0A> neither",
    "\u2581the meta\u2581symbol of sentencepiece\u2581",
    "emoji 😀 family 👩‍👩‍👧‍👦 flag 🇩🇪 skin 👋🏽",
    "\u202eright to left override\u202c and \u2066isolate\u2069",
    "combining e\u0301 and composed \u00e9, Z\u0351\u0343\u0329a\u0489l\u0335go",
    "Größe, façade, naïve, Ελληνικά, Русский, עברית, العربية, हिन्दी, ไทย, 中文字, 日本語, 한국어",
    "private \ue000 and unassigned \U0003fffd and last \U0010fffd",
    "SELECT * FROM t WHERE a = 'b'; -- <script>alert(1)</script>",
    "{{ 7 * 7 }} {% raw %} ${HOME} %s %d \\n \\x00",
    "| a | b |\n| --- | --- |\n```\ncode\n```\n",
    "3.14159265358979 1e-3 0x7fff 1,000,000",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
)  # fmt: skip
"""Texts on which exporters have been seen to differ: control tokens spelled out, bytes, spaces, scripts, emoji."""


@dataclass(frozen=True)
class Loaded:
    """A model read back from one of its formats."""

    model: Any
    """In float32: token ids (1, sequence) to logits (1, sequence, vocabulary)."""
    encode: Callable[[str], list[int]]
    """Token ids of a text, none of it read as a control token, nothing added before or after."""

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Logits of shape (tokens, vocabulary) for each sequence of token ids."""
        found: list[torch.Tensor] = []
        for start in range(0, len(sequences), _BATCH):
            batch = [torch.tensor(sequence) for sequence in sequences[start : start + _BATCH]]
            # Padded on the right, where a causal model does not look: what is padded with makes no difference.
            with torch.inference_mode():
                logits = self.model(input_ids=torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)).logits
            found += [one[: len(ids)] for one, ids in zip(logits, batch, strict=True)]
        return found


@dataclass(frozen=True)
class Expected:
    """What the original makes of one text."""

    text: str
    ids: list[int]
    sequence: list[int]
    """The ids behind ``<s>``, as far as the context reaches."""
    logits: torch.Tensor
    """Of the sequence: (len(sequence), vocabulary)."""


def expect(original: Loaded, texts: Sequence[str]) -> list[Expected]:
    """The original's ids of each text, and its logits for them."""
    config = original.model.config
    encoded = [original.encode(text) for text in texts]
    sequences = [[config.bos_token_id, *ids][: config.max_position_embeddings] for ids in encoded]
    return [Expected(*one) for one in zip(texts, encoded, sequences, original.logits(sequences), strict=True)]


def check(label: str, exported: Loaded, expected: Sequence[Expected], tolerance: float) -> float:
    """The largest absolute difference of a logit over all texts.

    Args:
        label: The format, for errors.

    Raises:
        HeadwaterError: ids differ, or a logit by more than ``tolerance``; names the format and the text.
    """
    for one in expected:
        ids = exported.encode(one.text)
        if ids != one.ids:
            raise HeadwaterError(f"{label}: the text {one.text!r} becomes the tokens {ids}, in the original {one.ids}")
    largest = 0.0
    for one, logits in zip(expected, exported.logits([one.sequence for one in expected]), strict=True):
        difference = float((logits - one.logits).abs().max())
        if not difference <= tolerance:  # so that NaN fails
            raise HeadwaterError(
                f"{label}: logits for the text {one.text!r} differ by {difference:.3g} from the original's, "
                f"the tolerance is {tolerance:g}"
            )
        largest = max(largest, difference)
    return largest
