"""Which tokens a document became, which steps of training saw them, and which models hold what they learned."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from stages.core import arrow
from stages.core.errors import HeadwaterError
from stages.core.order import Order
from stages.core.tokens import TokenShards, index_name
from stages.core.trace import pages
from stages.core.trace.lineage import Fact, Lineage, Stage

SEEN = "seen.parquet"
"""File name of the table in which a run tells what its batches were made of, see :mod:`stages.training.seen`."""
_LOG = "log.csv"


class Packed(NamedTuple):
    """A folder of tokens, and where in it some documents stand."""

    stage: Stage
    tokens: TokenShards
    rows: Mapping[str, Mapping[int, int]]
    """Id to its rows, with how many tokens it has in each."""


def located(lineage: Lineage, ids: Sequence[str]) -> list[Packed]:
    """Where documents stand in the folders of tokens; each is looked through once for them all."""
    folders = [(stage, TokenShards(folder)) for stage, folder in lineage.tokens]
    return [Packed(stage, tokens, _rows(tokens, ids)) for stage, tokens in folders]


def exposure(lineage: Lineage, places: Sequence[Packed], ids: Sequence[str]) -> Iterator[Fact]:
    """Tokens, steps and models of documents that were located, all together."""
    for stage, packed, rows in places:
        folder, found = packed.folder, [rows[identity] for identity in ids if identity in rows]
        held = sorted({row for one in found for row in one})
        if held:
            tokens = sum(sum(one.values()) for one in found)
            yield Fact("tokens", {"stage": stage.name, "in": folder.as_posix(), "tokens": tokens, "rows": held})
            yield from lineage.disagreements(*(folder / name for name in _shards(packed, held)))
        for trainer in trainers(lineage, folder):
            yield from _steps(lineage, trainer, packed, held)


def step(lineage: Lineage, path: str, number: int) -> Iterator[Fact]:
    """The documents of one step of a training run, with what it saw of them.

    Raises:
        HeadwaterError: the model was not trained on packed tokens here, or has no such step.
    """
    trainer = _trained(lineage, path)
    (folder,) = (folder for _, folder in lineage.tokens if folder.as_posix() in trainer.inputs)
    packed = TokenShards(folder)
    order, size, last = _plan(trainer, packed)
    if not 1 <= number <= last:
        raise HeadwaterError(f"{path} was trained in {last:,} steps: ask for 1 to {last:,}")
    tokenizer = Tokenizer.from_file((model(trainer) / "tokenizer.json").as_posix())
    numbers = {step: batch for batch, step in batches(trainer, last).items()}
    if number not in numbers:
        yield skipped(number)
        return
    batch = [int(row) for row in order.batch(numbers[number], size)]
    spans = {row: packed.documents(row) for row in batch}
    addresses = urls(lineage, folder, [span.id for found in spans.values() for span in found])
    for row in batch:
        (ids,) = packed.rows([row])
        for span in spans[row]:
            text = tokenizer.decode(ids[span.start : span.end].tolist())
            about = {"row": row, "id": span.id, "url": addresses.get(span.id, ""), "tokens": span.end - span.start}
            yield Fact("seen", about | {"from_token": span.offset, "text": text})
    yield from lineage.disagreements(*(folder / name for name in _shards(packed, batch)))


def holders(lineage: Lineage, trainer: Stage) -> list[str]:
    """The models that come of a training run: its own, and those made from it."""
    held = set(trainer.makes)
    models = []
    for stage in lineage.stages:
        if stage == trainer or any(path in held for path in stage.inputs):
            made = [folder.as_posix() for maker, folder in lineage.models if maker == stage]
            held |= set(made)
            models += made
    return models


def _rows(packed: TokenShards, ids: Sequence[str]) -> dict[str, Counter[int]]:
    """Rows that hold tokens of documents, with how many."""
    width, first = packed.context + 1, 0
    found: dict[str, Counter[int]] = defaultdict(Counter)
    wanted = arrow.column(sorted(set(ids)), pa.string())
    for shard in packed.description["shards"]:
        with pq.ParquetFile(packed.folder / index_name(shard["file"])) as index:
            here = pc.is_in(index.read(columns=["id"]).column("id"), value_set=wanted)
            spans = index.read(columns=["start", "end", "id"]).filter(here) if pc.any(here).as_py() else None
        for span in spans.to_pylist() if spans else []:
            start, end = span["start"], span["end"]
            for row in range(start // width, (end - 1) // width + 1):
                tokens = min(end, (row + 1) * width) - max(start, row * width)
                found[span["id"]][first + row] += tokens
        first += shard["rows"]
    return found


def _shards(packed: TokenShards, rows: Sequence[int]) -> list[str]:
    """Names of the files that hold those rows, and of their indexes."""
    first, names = 0, []
    for shard in packed.description["shards"]:
        if any(first <= row < first + shard["rows"] for row in rows):
            names += [shard["file"], index_name(shard["file"])]
        first += shard["rows"]
    return names


def trainers(lineage: Lineage, tokens: Path) -> list[Stage]:
    """Stages that trained a model on the rows of a folder of tokens; one that tells itself what it saw is none."""
    makers = {stage.name for stage, _ in lineage.models}
    makers -= {stage.name for stage in lineage.stages if any(Path(path).name == SEEN for path in stage.makes)}
    return [one for one in lineage.stages if tokens.as_posix() in one.inputs and one.name in makers]


def _trained(lineage: Lineage, path: str) -> Stage:
    for _, folder in lineage.tokens:
        for trainer in trainers(lineage, folder):
            if path.rstrip("/") == model(trainer).as_posix():
                return trainer
    logged = (folder for stage, folder in lineage.models if any(made.endswith(_LOG) for made in stage.makes))
    known = ", ".join(folder.as_posix() for folder in logged)
    raise HeadwaterError(f"{path}: no model that was trained here; these were: {known or 'none'}")


def model(trainer: Stage) -> Path:
    """The folder of the model that a stage has trained."""
    return next(path for path in map(Path, trainer.makes) if (path / "config.json").is_file())


def steps(trainer: Stage) -> int:
    """Of the run, as its log says."""
    log = next(Path(path) for path in trainer.makes if path.endswith(_LOG))
    return int(log.read_text("utf-8").splitlines()[-1].split(",")[0])


def skipped(number: int) -> Fact:
    """Of a step that a run was against."""
    return Fact("skipped", {"step": number, "because": "the run did not learn from it: see its spikes.json"})


def _steps(lineage: Lineage, trainer: Stage, packed: TokenShards, rows: Sequence[int]) -> Iterator[Fact]:
    order, size, last = _plan(trainer, packed)
    learned = batches(trainer, last)
    end = (max(learned, default=-1) + 1) * size
    saw = sorted({learned.get(at // size, 0) for row in rows for at in order.positions(row, end)} - {0})
    yield Fact("trained", {"stage": trainer.name, "steps": saw, "of": last})
    if saw:
        yield from (Fact("model", {"path": path, "trained_by": trainer.name}) for path in holders(lineage, trainer))


def _plan(trainer: Stage, packed: TokenShards) -> tuple[Order, int, int]:
    """The order of a run, the rows of a step, and its steps."""
    params: Any = trainer.params
    rows, share = len(packed), params["replay"]["share"]
    order = Order(rows + round(rows * share / (1 - share)), params["training"]["held_out"]["rows"], params["seed"])
    return order, params["training"]["batch_sequences"], steps(trainer)


def batches(trainer: Stage, steps: int) -> dict[int, int]:
    """Batch of the data, from 0, to the step that learned from it, from 1.

    Steps that were skipped learned nothing; a run that went back has gone past the batches since, see
    :mod:`stages.training.spikes`.
    """
    spikes = next((Path(path) for path in trainer.makes if path.endswith("spikes.json")), None)
    records = json.loads(spikes.read_text("utf-8")) if spikes else []
    skipped = {record["step"] for record in records if record["back_to"] is None}
    back = [(record["back_to"], record["step"]) for record in records if record["back_to"] is not None]
    learned = (step for step in range(1, steps + 1) if step not in skipped)
    return {step - 1 + sum(at - to for to, at in back if to < step): step for step in learned}


def urls(lineage: Lineage, tokens: Path, ids: Sequence[str]) -> dict[str, str]:
    """Addresses of documents that were packed."""
    packer = lineage.maker(tokens.as_posix())
    assert packer is not None
    folders = [folder for _, folder in lineage.documents if folder.as_posix() in packer.inputs]
    return {row["id"]: row["url"] for folder in folders for _, row in pages.rows(folder, ids, ["id", "url"])}
