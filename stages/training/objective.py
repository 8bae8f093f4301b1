"""What a model learns from packed rows: the next token, masked tokens, or what is missing between two others.

Everything drawn at random for a row depends on the seed and the row's position in the run alone.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from stages.core import order
from stages.core.errors import HeadwaterError
from stages.core.examples import IGNORED
from stages.core.order import Integers
from stages.core.params import Share, params
from stages.core.tokens import pieces
from stages.training.data import Rows
from stages.training.model import MASKED

# Of the tokens to predict, the share that is masked, and the share that is replaced by another token; the rest stays
# as it is (Devlin et al., BERT, arXiv 1810.04805, section 3.1).
_MASKED, _REPLACED = 0.8, 0.1

MASK = ("<mask>",)
"""The control token of ``masked``."""

FILL = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
"""The control tokens of filling in the middle."""


@params
class Objective:
    """What is predicted."""

    kind: Literal["causal", "masked"]
    """causal: the token that follows; masked: tokens that were hidden, from both sides."""
    masked_share: Annotated[float, Field(gt=0, lt=1)]
    """Of masked: share of the tokens that are to be predicted; BERT took 0.15."""
    next_sentence: bool
    """Of masked: whether rows are pairs of which the model also learns if the second part follows the first, as BERT
    did; RoBERTa found no gain in it (Liu et al., arXiv 1907.11692, section 4.2)."""
    fill_in_the_middle: Share
    """Of causal: share of the documents in a row that are reordered so that what follows their middle comes before it
    (Bavarian et al., arXiv 2207.14255); 0 reorders none."""

    @model_validator(mode="after")
    def _fits(self) -> "Objective":
        if self.kind == "masked" and self.fill_in_the_middle:
            raise ValueError("fill_in_the_middle belongs to causal: set it to 0")
        if self.kind == "causal" and self.next_sentence:
            raise ValueError("next_sentence belongs to masked: set it to false")
        return self

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """Control tokens that the objective needs beyond the tokenizer's; their ids follow its vocabulary."""
        if self.kind == "masked":
            return MASK
        return FILL if self.fill_in_the_middle else ()


def check_kind(objective: Objective, kind: str) -> None:
    """Raises:
    HeadwaterError: a model of this kind cannot learn it.
    """
    if (objective.kind == "masked") != (kind in MASKED):
        raise HeadwaterError(
            f"params.yaml: pretrain.objective.kind is {objective.kind}, which {kind} cannot learn: masked goes "
            f"with pretrain.model.kind {', '.join(MASKED)}, causal with the others"
        )


class Reader:
    """Makes rows to train on of packed tokens.

    Args:
        objective: What is predicted.
        seed: Of what is drawn at random.
        vocab_size: Of the tokenizer; the objective's own control tokens follow.
        first_text: The lowest id that is text; those below are control tokens, which are never hidden.
        begin: Id that begins a document.
        end: Id that ends one.
        pad: Id of padding.
        documents_apart: Whether attention is to stay within a document.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        seed: int,
        vocab_size: int,
        first_text: int,
        begin: int,
        end: int,
        pad: int,
        documents_apart: bool,
    ) -> None:
        self.objective, self.seed = objective, seed
        self.vocab_size, self.first_text = vocab_size, first_text
        self.begin, self.end, self.pad = begin, end, pad
        self.documents_apart = documents_apart

    def __call__(self, tokens: Integers, positions: Integers) -> Rows:
        """Rows of ``tokens``, shape (rows, context + 1), that stand at ``positions`` of the run."""
        if self.objective.kind == "masked":
            return self._masked(tokens[:, :-1], positions)
        if self.objective.fill_in_the_middle:
            tokens = np.stack(
                [self._reordered(row, self._draw(int(at))) for row, at in zip(tokens, positions, strict=True)]
            )
        inputs, labels = tokens[:, :-1], tokens[:, 1:]
        labels = np.where(labels == self.pad, IGNORED, labels)
        if not self.documents_apart:
            return Rows(inputs, labels)
        documents = self._pieces(tokens)
        # How a document begins cannot be told from another.
        labels = np.where(documents[:, 1:] != documents[:, :-1], IGNORED, labels)
        return Rows(inputs, labels, documents[:, :-1])

    def _pieces(self, tokens: Integers) -> Integers:
        return pieces(tokens, begin=self.begin, end=self.end)

    def _draw(self, position: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(order.mixed(self.seed, int(position))))

    def _masked(self, tokens: Integers, positions: Integers) -> Rows:
        """Rows in which the share of the text is hidden; what is not hidden has no target."""
        inputs, labels = tokens.copy(), np.full_like(tokens, IGNORED)
        text = tokens >= self.first_text
        for row in range(len(tokens)):
            draw = self._draw(int(positions[row]))
            chosen = text[row] & (draw.random(tokens.shape[1]) < self.objective.masked_share)
            fate = draw.random(tokens.shape[1])
            others = draw.integers(self.first_text, self.vocab_size, size=tokens.shape[1:])
            labels[row, chosen] = tokens[row, chosen]
            inputs[row, chosen & (fate < _MASKED)] = self.vocab_size
            replaced = chosen & (fate >= _MASKED) & (fate < _MASKED + _REPLACED)
            inputs[row, replaced] = others[replaced]
        # Padding, which a model that looks both ways would see, is a document of its own.
        documents = self._pieces(tokens) if self.documents_apart else np.zeros_like(tokens)
        return Rows(inputs, labels, np.where(tokens == self.pad, -1, documents))

    def _reordered(self, row: Integers, draw: np.random.Generator) -> Integers:
        """A row in which some documents are told as prefix, suffix, middle, or as suffix, prefix, middle.

        Each one grows by three tokens; what no longer fits the row is cut off at its end.
        """
        prefix, suffix, middle = range(self.vocab_size, self.vocab_size + len(FILL))
        starts = np.flatnonzero(np.diff(self._pieces(row))) + 1
        found = []
        for piece in np.split(row, starts):
            wanted, suffix_first = draw.random() < self.objective.fill_in_the_middle, draw.random() < 0.5
            cuts = np.sort(draw.integers(0, len(piece) + 1, 2))
            text = np.flatnonzero(piece >= self.first_text)
            if not wanted or not len(text):
                found.append(piece)
                continue
            first, last = int(text[0]), int(text[-1]) + 1
            cuts = np.clip(cuts, first, last)
            before, between, after = piece[first : cuts[0]], piece[cuts[0] : cuts[1]], piece[cuts[1] : last]
            if suffix_first:  # as Bavarian et al. write it (section 4.3), so that both orders share one prefix
                told = [[prefix], [suffix], after, [middle], before, between]
            else:
                told = [[prefix], before, [suffix], after, [middle], between]
            found += [piece[:first], *[np.asarray(part, dtype=row.dtype) for part in told], piece[last:]]
        return np.concatenate(found)[: len(row)]
