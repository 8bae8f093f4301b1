"""Packed tokens as training data, and what does not go together, found before the first step."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from stages.core import fingerprint
from stages.core.errors import HeadwaterError
from stages.core.order import Integers
from stages.core.tokens import TokenShards
from stages.training import model as models
from stages.training.data import Rows
from stages.training.objective import Reader

_CHECKED = 4096  # rows at a time


class Packed:
    """Packed rows as training data.

    Args:
        packed: The rows.
        reader: What makes of them what is to be learned.
    """

    def __init__(self, packed: TokenShards, reader: Reader) -> None:
        self.packed, self.reader = packed, reader

    def __len__(self) -> int:
        return len(self.packed)

    def rows(self, indices: Integers, positions: Integers) -> Rows:
        """Those rows, shape (len(indices), context)."""
        return self.reader(self.packed.rows(indices), positions)

    def sources(self, indices: Integers) -> list[str]:
        """Ids of the documents in those rows."""
        return list(dict.fromkeys(span.id for row in indices for span in self.packed.documents(int(row))))


def check_tokens(packed: TokenShards, tokenizer: Path) -> None:
    """Read all tokens once.

    Args:
        packed: The tokens.
        tokenizer: The file of the tokenizer that decides its ids; tokenizer.json lies beside it.

    Raises:
        HeadwaterError: they are those of another tokenizer, or one is beyond its vocabulary.
    """
    size = models.vocabulary(tokenizer.parent)
    if size != packed.vocab_size:
        raise HeadwaterError(
            f"{packed.folder} was packed with a vocabulary of {packed.vocab_size}, {tokenizer.parent} has one of "
            f"{size}: run `dvc repro pack`"
        )
    if packed.description["tokenizer"] != fingerprint.file_hash(tokenizer):
        raise HeadwaterError(
            f"{packed.folder} was packed with another tokenizer than {tokenizer.parent}: run `dvc repro pack`"
        )
    for start in range(0, len(packed), _CHECKED):  # reading finds ids beyond the vocabulary
        packed.rows(np.arange(start, min(start + _CHECKED, len(packed))))


def check_length(steps: int, batch: int, epochs: int, rows: int, folder: Path) -> None:
    """Raises:
    HeadwaterError: ``steps`` of ``batch`` rows go more than ``epochs`` times through ``rows``.
    """
    asked = steps * batch
    if rows >= batch and asked > epochs * rows:
        raise HeadwaterError(
            f"params.yaml: pretrain.steps {steps} of {batch} rows need {asked:,}, and {epochs} "
            f"epoch{'s' * (epochs > 1)} of {folder} give {epochs * rows:,}: lower steps, bring more pages, or set "
            f"pretrain.epochs to {-(-asked // rows)}"
        )


def continued(folder: Path, tokenizer: Path, packed: TokenShards, control: int, dropout: float) -> Any:
    """The model of a folder, fit for some tokens.

    Args:
        folder: Of the model, with its tokenizer.
        tokenizer: The file of the tokens' tokenizer that decides its ids.
        packed: The tokens.
        control: How many control tokens the objective needs beyond the tokenizer's; a model that has none gets them.
        dropout: While it trains.

    Raises:
        HeadwaterError: there is no model, it has another tokenizer, or its context is shorter than the rows.
    """
    model = models.load(folder, dropout)
    if not (folder / tokenizer.name).is_file() or _ids(folder / tokenizer.name) != _ids(tokenizer):
        raise HeadwaterError(
            f"{folder} was trained with another tokenizer than {tokenizer.parent}; put its own there and run "
            "`dvc freeze tokenizer` before `dvc repro`"
        )
    if packed.context > model.config.max_position_embeddings:
        raise HeadwaterError(
            f"{packed.folder} holds rows of {packed.context} tokens, and {folder} has a context of "
            f"{model.config.max_position_embeddings}: lower pack.context"
        )
    wanted = packed.vocab_size + control
    if model.config.vocab_size == packed.vocab_size < wanted:
        model.resize_token_embeddings(wanted, mean_resizing=False)
    if model.config.vocab_size != wanted:
        raise HeadwaterError(f"{folder} has a vocabulary of {model.config.vocab_size}, and {wanted} are to be learned")
    return model


def _ids(tokenizer: Path) -> Any:
    """What decides the ids of text: all of a sentencepiece model, of tokenizer.json not its control tokens."""
    if tokenizer.suffix == ".json":
        return json.loads(tokenizer.read_text("utf-8"))["model"]
    return fingerprint.file_hash(tokenizer)
