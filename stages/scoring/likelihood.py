"""Log-likelihoods of text under a causal model: the one scorer below bits per byte and every task.

Everything is computed in fp32 with padding on the right, which a causal model cannot see; sums are taken in fp64. So a
figure does not depend on which texts happen to share a batch, but for the rounding of fp32.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from pydantic import PositiveInt

from stages.core import adapted
from stages.core.errors import HeadwaterError
from stages.core.params import LesserShare, params
from stages.core.runtime import profile

# Never chosen for its meaning: it only fills the batch behind the last token that counts.
_FILL = 0


@params
class Windows:
    """How long texts are cut for a model and put into batches."""

    overlap: LesserShare
    """Share of the model's context that is given again at the start of the next window of a long text, 0–1."""
    batch_tokens: PositiveInt
    """Tokens of a batch, padding included; bounds the memory and must change no figure beyond fp32's rounding."""


@dataclass(frozen=True)
class Window:
    """Tokens for one pass of the model, of which the last ``scored`` are predicted from those before them."""

    tokens: Sequence[int]
    scored: int


@dataclass(frozen=True)
class Score:
    """What the model makes of some tokens."""

    nats: float
    """Negative log-likelihood, natural logarithm."""
    greedy: bool
    """Whether each token was the likeliest one where it stands."""


def writes(folder: Path) -> bool:
    """Whether the model of a folder gives the next token, by the architecture that its configuration names.

    Raises:
        HeadwaterError: there is no model in the folder.
    """
    try:
        names = json.loads((adapted.configured(folder) / "config.json").read_text("utf-8"))["architectures"]
    except (OSError, ValueError, KeyError):
        raise HeadwaterError(f"{folder}: no model here (config.json is missing or damaged); run `dvc repro`") from None
    return str(names[0]).endswith(("ForCausalLM", "LMHeadModel"))


class Scorer:
    """A model and its tokenizer, ready to score text in fp32.

    Args:
        folder: Model in the Hugging Face layout, safetensors, with its tokenizer.
        windows: How texts longer than the model's context are cut.

    Raises:
        HeadwaterError: the folder holds no such model.
    """

    def __init__(self, folder: Path, windows: Windows) -> None:
        torch.set_num_threads(profile().threads)
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self.device = adapted.device()
        try:
            model = adapted.load(folder, dtype=torch.float32)
            self.tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise HeadwaterError(f"{folder}: no model that transformers can load: {reason}") from None
        self.model: Any = model.to(self.device).eval()
        self.context: int = model.config.max_position_embeddings
        self.batch_tokens = windows.batch_tokens
        self.step = max(1, self.context - int(windows.overlap * self.context))
        begin = self.tokenizer.bos_token_id
        self.begin: int = self.tokenizer.eos_token_id if begin is None else begin
        if self.begin is None:
            raise HeadwaterError(f"{folder}: the tokenizer has no token that begins or ends a text")

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text`` alone; a control token written out in it, such as ``<s>``, stays text."""
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    def windows(self, before: Sequence[int], tokens: Sequence[int]) -> list[Window]:
        """Cut ``before + tokens`` so that each of ``tokens`` is predicted once, with all the context there is room for.

        A text that fits is one window. After the first window every token but the last ``step`` ones of a full window
        is context: the strided evaluation of https://huggingface.co/docs/transformers/perplexity.
        """
        sequence = [*before, *tokens]
        cut = []
        start = len(before)
        while start < len(sequence):
            end = min(len(sequence), start + max(self.context + 1 - start, self.step))
            cut.append(Window(sequence[max(0, end - self.context - 1) : end], end - start))
            start = end
        return cut

    def score(self, texts: Sequence[Sequence[Window]], done: Callable[[int], None] | None = None) -> list[Score]:
        """Score texts, each given as its windows; in the order of ``texts``.

        Args:
            texts: What :meth:`windows` made of each text.
            done: Called with the number of tokens of every batch, for the progress display.
        """
        flat = [(window, owner) for owner, windows in enumerate(texts) for window in windows]
        nats = [0.0] * len(texts)
        greedy = [True] * len(texts)
        for batch in self._batches([window for window, _ in flat]):
            for index, score in zip(batch, self._forward([flat[index][0] for index in batch]), strict=True):
                owner = flat[index][1]
                nats[owner] += score.nats
                greedy[owner] &= score.greedy
            if done:
                done(sum(len(flat[index][0].tokens) - 1 for index in batch))
        return [Score(*pair) for pair in zip(nats, greedy, strict=True)]

    def _batches(self, windows: Sequence[Window]) -> Iterator[list[int]]:
        """Indices of windows that go through the model together: of like length, the longest first."""
        order = sorted(range(len(windows)), key=lambda i: (-len(windows[i].tokens), -windows[i].scored, i))
        batch: list[int] = []
        for index in order:
            if batch and (len(batch) + 1) * (len(windows[batch[0]].tokens) - 1) > self.batch_tokens:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    @torch.inference_mode()
    def _forward(self, windows: Sequence[Window]) -> list[Score]:
        length = len(windows[0].tokens)
        rows = [[*window.tokens, *[_FILL] * (length - len(window.tokens))] for window in windows]
        tokens = torch.tensor(rows, device=self.device)
        first = min(len(window.tokens) - window.scored for window in windows)  # nothing before it is predicted
        logits = self.model(tokens[:, :-1], logits_to_keep=length - first, use_cache=False).logits
        targets = tokens[:, first:]
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        losses = losses.view_as(targets).cpu().double()  # at once: each row by itself would wait for a GPU
        hits = (logits.argmax(-1) == targets).cpu()
        scores = []
        for row, window in enumerate(windows):
            end = len(window.tokens) - first
            part = slice(end - window.scored, end)
            scores.append(Score(float(losses[row, part].sum()), bool(hits[row, part].all())))
        return scores
