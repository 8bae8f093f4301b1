"""What general compressors make of the same bytes: the measure that a language model has to beat."""

import gzip
import json
import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path

import zstandard

from stages.core import documents
from stages.core.shards import Metrics
from stages.scoring.sample import groups


def compressed_bits_per_byte(data: bytes) -> dict[str, float]:
    """Bits that each compressor spends on a byte of ``data``, its own headers included."""
    sizes = {
        "gzip-9": len(gzip.compress(data, 9, mtime=0)),
        "zstd-19": len(zstandard.ZstdCompressor(level=19).compress(data)),
        "xz-9": len(lzma.compress(data, preset=9)),
    }
    return {name: 8 * size / len(data) for name, size in sizes.items()}


def measure(_: None, inputs: Sequence[Path], outputs: Mapping[str, Path]) -> Metrics:
    """Compress the documents of one shard, all of them and each group; writes ``figures`` (JSON).

    The texts are concatenated in the order of the shard with nothing between them, so that the bytes are those that
    the model is scored on.
    """
    read = list(documents.read(inputs[0], ["url", "language", "text"]))
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for kind, members in groups(read).items():
        figures[kind] = {
            name: compressed_bits_per_byte("".join(read[index]["text"] for index in indices).encode())
            for name, indices in members.items()
        }
    outputs["figures"].write_text(json.dumps(figures, sort_keys=True), "utf-8")
    return {"in": len(read), "out": len(read)}
