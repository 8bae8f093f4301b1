"""What each batch of a run was made of, as a table: so a page is traced to the steps of fine-tuning that saw it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stages.training.data import Data, Split
from stages.training.settings import Training
from stages.training.spikes import Guard, read

SCHEMA = pa.schema(
    [
        pa.field("batch", pa.int32(), nullable=False),  # from 0; the step is one more, but where a run went back
        pa.field("source", pa.string(), nullable=False),  # id of a document, or file and row
    ]
)


def write(path: Path, data: Data, training: Training, seed: int, steps: int, spikes: str) -> None:
    """Write a row for each source of each batch of a run.

    Args:
        path: Parquet file.
        data: Its rows.
        training: How it was trained.
        seed: Of its order.
        steps: Its length.
        spikes: Its spikes.json: a run that went back has gone past batches.
    """
    split, size = Split(data, training.held_out.rows, seed, steps), training.batch_sequences
    batches = range(steps + Guard(training.spikes, [], read(spikes)).passed)
    pairs = [(batch, source) for batch in batches for source in data.sources(split.batch(batch, size)[0])]
    columns = {"batch": [batch for batch, _ in pairs], "source": [source for _, source in pairs]}
    pq.write_table(pa.table(columns, schema=SCHEMA), path, compression="zstd")
