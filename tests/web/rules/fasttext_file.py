"""Writes the smallest fastText model there is, in the layout of fastText's own ``saveModel`` (version 12)."""

import struct
from collections.abc import Mapping
from pathlib import Path


def write(path: Path, labels: Mapping[str, str], weight: float) -> Path:
    """A classifier in which each label has one word that speaks for it, and no other word is known.

    Args:
        path: The file to write.
        labels: Label to its word.
        weight: Of a text of that word alone: with two labels its probability is 1 / (1 + exp(-weight)).
    """
    size = len(labels)
    entries = [(word, 0) for word in labels.values()] + [(f"__label__{label}", 1) for label in labels]
    unit = [float(row == column) for row in range(size) for column in range(size)]
    matrix = struct.Struct(f"<?qq{size * size}f")  # not quantised, rows, columns, numbers
    # dim ws epoch minCount neg wordNgrams loss (3, softmax) model (3, supervised) bucket minn maxn lrUpdateRate, t
    options = struct.pack("<12id", size, 5, 1, 1, 0, 1, 3, 3, 0, 0, 0, 100, 0.0)
    dictionary = struct.pack("<iiiqq", 2 * size, size, size, 2 * size, -1)
    dictionary += b"".join(name.encode() + b"\0" + struct.pack("<qb", 1, kind) for name, kind in entries)
    words, outputs = matrix.pack(False, size, size, *unit), matrix.pack(False, size, size, *(weight * x for x in unit))
    path.write_bytes(struct.pack("<ii", 793712314, 12) + options + dictionary + words + outputs)
    return path
