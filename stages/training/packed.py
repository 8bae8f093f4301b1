"""Packed tokens as training data, and what does not go together, found before the first step."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from stages.core import fingerprint, shards
from stages.core.errors import HeadwaterError
from stages.core.order import Integers
from stages.core.tokens import DESCRIPTION, TokenShards, index_name
from stages.training import model as models
from stages.training.data import Replay, Rows
from stages.training.objective import Objective, Reader
from stages.training.settings import Training

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


def opened(folder: Path, tokenizer: Path) -> TokenShards:
    """The packed tokens of a folder.

    Args:
        folder: Of the tokens.
        tokenizer: The file of the tokenizer that decides its ids; tokenizer.json lies beside it.

    Raises:
        HeadwaterError: there are none, or they are those of another tokenizer.
    """
    packed = TokenShards(folder)
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
    return packed


def reminded(new: TokenShards, old: TokenShards, reader: Reader, share: float, seed: int) -> Replay:
    """New rows as training data, with old ones among them.

    Raises:
        HeadwaterError: their rows are of different length.
    """
    if old.context != new.context:
        raise HeadwaterError(
            f"{old.folder} holds rows of {old.context} tokens, {new.folder} of {new.context}: pack both alike"
        )
    return Replay(Packed(new, reader), Packed(old, reader), share, seed)


def check_shards(packed: TokenShards, rank: int = 0, ranks: int = 1) -> None:
    """Read the tokens once, and see that they are those that were packed.

    A note in the work area keeps the size and the time of change of every shard that was read, and one that still has
    both is not read again: a run that continues over terabytes starts at once. Of several processes each reads a part.

    Args:
        packed: The tokens.
        rank: Of this process.
        ranks: How many share the shards.

    Raises:
        HeadwaterError: a shard or its index is not what ``pack.json`` says, or holds an id beyond the vocabulary.
    """
    notes = shards.area("pretrain-shards", fingerprint.file_hash(packed.folder / DESCRIPTION)[:32])
    first = 0
    for number, described in enumerate(packed.description["shards"]):
        rows, first = range(first, first + described["rows"]), first + described["rows"]
        if number % ranks == rank:
            name, index = described["file"], index_name(described["file"])
            _check(packed, index, described.get("index_hash"), notes / index, range(0))
            _check(packed, name, described.get("hash"), notes / name, rows)


def _check(packed: TokenShards, name: str, expected: str | None, note: Path, rows: range) -> None:
    """See that a file has the hash that is expected, and ids of the vocabulary alone, if there is no note of it."""
    path = packed.folder / name
    seen = f"{path.stat().st_size} {path.stat().st_mtime_ns}" if path.is_file() else "missing"
    if note.is_file() and note.read_text("utf-8") == seen:
        return
    if seen == "missing" or fingerprint.file_hash(path) != expected:
        raise HeadwaterError(
            f"{path}: is not as it was packed, {DESCRIPTION} has another hash; remove {packed.folder} and run "
            "`dvc repro pack`"
        )
    for start in rows[::_CHECKED]:  # reading finds ids beyond the vocabulary
        packed.rows(np.arange(start, min(start + _CHECKED, rows.stop)))
    note.write_text(seen, "utf-8")


def check_length(steps: int, epochs: int, rows: int, training: Training, folder: Path) -> None:
    """Raises:
    HeadwaterError: ``steps`` go more than ``epochs`` times through ``rows``, less those that are held out.
    """
    batch = training.batch_sequences
    asked, rows = steps * batch, rows - training.held_out.rows
    if rows >= batch and asked > epochs * rows:
        raise HeadwaterError(
            f"params.yaml: pretrain.steps {steps} of {batch} rows need {asked:,}, and {epochs} "
            f"epoch{'s' * (epochs > 1)} of {folder} give {epochs * rows:,}: lower steps, bring more pages, or set "
            f"pretrain.epochs to {-(-asked // rows)}"
        )


def continued(folder: Path, tokenizer: Path, packed: TokenShards, objective: Objective, dropout: float) -> Any:
    """The model of a folder, fit for some tokens.

    Args:
        folder: Of the model, with its tokenizer.
        tokenizer: The file of the tokens' tokenizer that decides its ids.
        packed: The tokens.
        objective: What it is to learn; a model without the control tokens or the head that this needs gets them.
        dropout: While it trains.

    Raises:
        HeadwaterError: there is no model, it has another tokenizer, or its context is shorter than the rows.
    """
    model = models.load(folder, dropout, objective.next_sentence)
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
    wanted = packed.vocab_size + len(objective.control_tokens)
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
