"""Which steps of fine-tuning saw a document, and what a step of it was made of."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages.core import arrow
from stages.core.errors import HeadwaterError
from stages.core.trace import pages, training
from stages.core.trace.lineage import Fact, Lineage, Stage

_DOCUMENT = r"^(?:document )?(?P<id>[0-9a-f]{32})(?:, |$)"  # packed rows name documents bare


def exposure(lineage: Lineage, ids: Sequence[str]) -> Iterator[Fact]:
    """Steps and models of documents, all together."""
    for stage, path in _runs(lineage):
        table = arrow.read(path)
        named = pc.struct_field(pc.extract_regex(table.column("source"), _DOCUMENT), "id")
        here = pc.is_in(named, value_set=arrow.column(ids, pa.string()))
        steps = training.steps(stage)
        learned = training.batches(stage, steps)
        saw = sorted({learned.get(batch, 0) for batch in table.filter(here).column("batch").to_pylist()} - {0})
        if saw:
            yield Fact("tuned", {"stage": stage.name, "steps": saw, "of": steps})
            yield from lineage.disagreements(path)
            models = training.holders(lineage, stage)
            yield from (Fact("model", {"path": model, "trained_by": stage.name}) for model in models)


def step(lineage: Lineage, model: str, number: int) -> Iterator[Fact] | None:
    """What a step of fine-tuning was made of; None where the model was not made so."""
    wanted = model.rstrip("/")
    found = ((stage, path) for stage, path in _runs(lineage) if training.model(stage).as_posix() == wanted)
    run = next(found, None)
    return None if run is None else _step(lineage, *run, number)


def _step(lineage: Lineage, stage: Stage, path: Path, number: int) -> Iterator[Fact]:
    steps = training.steps(stage)
    if not 1 <= number <= steps:
        raise HeadwaterError(f"{training.model(stage)} was trained in {steps:,} steps: ask for 1 to {steps:,}")
    batch = {step: batch for batch, step in training.batches(stage, steps).items()}.get(number)
    if batch is None:
        yield training.skipped(number)
        return
    table = arrow.read(path)
    sources = table.filter(pc.equal(table.column("batch"), batch)).column("source").to_pylist()
    ids = {source: found[1] for source in sources if (found := re.match(_DOCUMENT, source))}
    folders = [folder for _, folder in lineage.documents if folder.as_posix() in stage.inputs]
    rows = (row for folder in folders for _, row in pages.rows(folder, list(ids.values()), ["id", "url"]))
    urls = {row["id"]: row["url"] for row in rows}
    for source in sources:
        document = ids.get(source, "")
        about = {"id": document, "url": urls.get(document, "")} if document else {}
        yield Fact("seen", {"made_of": source, **about})
    yield from lineage.disagreements(path)


def _runs(lineage: Lineage) -> Iterator[tuple[Stage, Path]]:
    """Stages that tell what their batches were made of, and where."""
    for stage in lineage.stages:
        yield from ((stage, path) for path in map(Path, stage.makes) if path.name == training.SEEN and path.is_file())
