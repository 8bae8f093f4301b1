"""A unit that takes long enough to be killed in."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.core.shards import Metrics


def slow(params: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Copy a file slowly, in two writes."""
    with outputs["text"].open("w") as file:
        file.write(inputs[0].read_text())
        file.flush()
        time.sleep(0.1)
        file.write(" done")
    return {"in": 1, "out": 1}
