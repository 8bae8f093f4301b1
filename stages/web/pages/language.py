"""The language of a text, by the model that py3langid carries in its package: 140 languages, naive Bayes over bytes.

py3langid unpacks its model in 0.9 s of every process and walks through a text byte by byte in Python. Here the model is
unpacked once to arrays that every worker maps, and the windows of many texts are walked through side by side: the same
decisions (tests/web/pages/test_language.py) in a fifth of the time (1.14 ms a page of the demo became 0.22).
"""

import itertools
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from py3langid import langid, modelio

from stages.core import arrays

LABELS = ("steps", "states", "weights", "languages")
"""What :func:`unpack` writes, in the order in which :class:`Identifier` takes it."""

_FENCE = re.compile("\n(`{3,}+)(?=\n)")

# The automaton's states are the ends of the text read so far that begin a feature, of this many bytes at most: that is
# how far its last state lies from its first. So a state is known from the bytes before it, and a text can be walked
# through at many places at once.
_MEMORY = 6
_STRIDE = 64  # bytes that one of those walks adds to what it remembers: more of them are fewer steps in Python

_TOGETHER = 64  # texts at a time: each costs a third of what it does alone

# Of one macrolanguage of ISO 639-3, by the code that stands for it here: a text that could be in several of these is in
# that language for certain.
_MEMBERS = {
    "ar": ("ary", "arz"), "ku": ("sdh",), "ms": ("id",), "no": ("nn",), "sr": ("bs", "hr"), "uz": ("uzs",),
    "zh": ("wuu", "yue"),
}  # fmt: skip

_END = 0xFF  # in no UTF-8 and so in no feature: leads back to the first state


def model_file() -> Path:
    """py3langid's model, as installed."""
    return langid.MODEL_DIR / langid.MODEL_FILE


def unpack(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> dict[str, Any]:
    """Write the model as arrays, see ``LABELS``; a unit of work of the stage."""
    unpacked = _arrays(inputs[0])
    for label, array in zip(LABELS, unpacked, strict=True):
        arrays.save(outputs[label], array)
    return {"in": len(unpacked[-1])}


def _arrays(path: Path) -> tuple[npt.NDArray[Any], ...]:
    """The model's automaton and weights.

    Returns:
        The state after each state's row and byte, (rows * 256,); each state's place in those and the feature that ends
        there or -1, (2, states); weights by feature and the prior as the last row, (features + 1, classes); names of
        the classes, (classes,).
    """
    weights, prior, classes, steps, rows, features = modelio.load_model(path)
    states = np.array([np.asarray(rows, np.int32) << 8, features], np.int32)
    return np.asarray(steps, np.int32), states, np.vstack([weights, prior]), np.array(classes)


class Identifier:
    """Tells languages.

    Args:
        files: What :func:`unpack` wrote; without them the model is unpacked in this process.
    """

    def __init__(self, files: Sequence[Path] = ()) -> None:
        model = [np.asarray(np.load(path, mmap_mode="r")) for path in files] if files else _arrays(model_file())
        self._steps, (self._rows, self._features), self._weights, classes = model
        # Of languages that are equally likely max() over names would take the last, argmax() takes the first.
        self._order = sorted(range(len(classes)), key=lambda at: str(classes[at]), reverse=True)
        classes = classes[self._order]
        # Some languages have a class for each of their scripts.
        self._first = np.flatnonzero(np.r_[True, classes[1:] != classes[:-1]])
        self._languages: list[str] = classes[self._first].tolist()
        near = {member: whole for whole, members in _MEMBERS.items() for member in members}
        wholes = [near.get(language, language) for language in self._languages]
        self._wholes = np.array([self._languages.index(whole) for whole in wholes])

    def __call__(self, texts: Sequence[str], windows: int, characters: int) -> list[tuple[str, float]]:
        """ISO 639 code of the language that most of each text is in, and how certain that is of all of it, 0–1.

        A page that is half translated has two languages; its score says so, because it is the mean over windows spread
        evenly over the text. Members of one macrolanguage, such as Indonesian and Malay or Mandarin and Cantonese,
        share theirs: what is doubtful between them is not doubtful beside others.

        Args:
            texts: Any texts, in NFC.
            windows: How many places to look at.
            characters: How many characters to look at in each. Time is linear in the product.
        """
        batches = (texts[start : start + _TOGETHER] for start in range(0, len(texts), _TOGETHER))
        return [told for batch in batches for told in self._told(batch, windows, characters)]

    def _told(self, texts: Sequence[str], windows: int, characters: int) -> list[tuple[str, float]]:
        spread = [_spread(_prose(text), windows, characters) for text in texts]
        chances = self._chances([_encoded(window) for own in spread for window in own])
        starts = np.cumsum([0, *map(len, spread[:-1])])
        sums = np.add.reduceat(chances, starts, axis=0)
        rows = np.arange(len(texts))
        wholes = np.zeros_like(sums)
        np.add.at(wholes.T, self._wholes, sums.T)
        likeliest = wholes.argmax(axis=1)
        best = np.where(self._wholes == likeliest[:, None], sums, -1).argmax(axis=1)
        certain = wholes[rows, likeliest] / sums.sum(axis=1)
        return [(self._languages[at], round(float(score), 4)) for at, score in zip(best, certain, strict=True)]

    def _chances(self, windows: Sequence[bytes]) -> npt.NDArray[np.float64]:
        """How likely each language is for each window: (windows, languages)."""
        lengths = np.array([len(window) for window in windows])
        found = self._found(windows)
        (places,) = np.nonzero(found >= 0)
        owner = np.repeat(np.arange(len(windows)), lengths + 1)[places]
        keys = owner * len(self._weights) + found[places]
        keys = np.sort(keys.astype(np.min_scalar_type(len(windows) * len(self._weights))))  # the narrower the faster
        firsts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]][: len(keys)])
        counts = np.diff(firsts, append=len(keys))
        owners, features = np.divmod(keys[firsts].astype(np.int64), len(self._weights))
        ends = np.searchsorted(owners, np.arange(len(windows) + 1))
        # Rounded from float64, added row by row and not by BLAS: every kind of processor gives the same bytes.
        strength = np.log1p(counts).astype(np.float32)
        scores = np.zeros((len(windows), self._weights.shape[1]), np.float32)
        for number, (start, end) in enumerate(itertools.pairwise(ends)):
            if start < end:  # without features every language is as likely as another
                weights = self._weights.take(features[start:end], axis=0)
                weights *= strength[start:end, None]
                scores[number] = weights.sum(axis=0) + self._weights[-1]
        scores = scores[:, self._order]
        # What makes the scores of short and long texts comparable, as py3langid has it.
        scores /= np.sqrt(np.maximum(lengths, 1)).astype(np.float32)[:, None]
        chances = np.exp((scores - scores.max(axis=1, keepdims=True)).astype(np.float64))
        chances /= chances.sum(axis=1, keepdims=True)
        return np.add.reduceat(chances, self._first, axis=1)

    def _found(self, windows: Sequence[bytes]) -> npt.NDArray[np.int32]:
        """The feature that ends at each byte of the windows and at the end of each, -1 for none."""
        text = b"".join(window + bytes([_END]) for window in windows)
        walks = math.ceil(len(text) / _STRIDE)
        padded = np.full(_MEMORY + walks * _STRIDE, _END, np.uint8)
        padded[_MEMORY : _MEMORY + len(text)] = np.frombuffer(text, np.uint8)
        stripes = np.lib.stride_tricks.sliding_window_view(padded, _MEMORY + _STRIDE)[::_STRIDE].T
        states = np.empty((_STRIDE, walks), np.int32)
        state = np.zeros(walks, np.int32)
        for step, letters in enumerate(stripes, -_MEMORY):
            state = self._steps[self._rows[state] + letters]
            if step >= 0:
                states[step] = state
        found: npt.NDArray[np.int32] = self._features[states.T.ravel()[: len(text)]]
        return found


def _prose(text: str) -> str:
    """The text without its code, which is in no language whatever its words are; all of it where it is nothing else."""
    if "```" not in text:
        return text
    lines = f"\n{text}\n"
    fences = [fence.span(1) for fence in _FENCE.finditer(lines)]
    further: dict[int, int] = {}  # where the next fence of each length ends
    closing = []
    for begin, end in reversed(fences):
        closing.append(further.get(end - begin, 0))
        further[end - begin] = end
    kept, at = [], 0
    for (begin, _), close in zip(fences, reversed(closing), strict=True):
        if close and begin >= at:
            kept.append(lines[at:begin])
            at = close
    return "".join([*kept, lines[at:]]).strip() or text


def _encoded(window: str) -> bytes:
    """The bytes that the model knows: composed, and not all in capitals."""
    window = window.lower() if window.isupper() else window
    return unicodedata.normalize("NFC", window).encode("utf-8", "surrogatepass")


def _spread(text: str, windows: int, characters: int) -> list[str]:
    """Windows at the middles of as many equal parts of the text; the text itself where it is no longer than they."""
    if len(text) <= windows * characters:
        return [text]
    middles = [len(text) * (2 * part + 1) // (2 * windows) for part in range(windows)]
    return [text[middle - characters // 2 : middle + characters // 2] for middle in middles]
