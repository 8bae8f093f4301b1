"""Arrays written to files so that a full disk is an error, which to NumPy it is not always.

``ndarray.tofile``, and ``np.save`` through it, hand an array to a stream of C and do not look whether the last of it
could be written (numpy 2.4): the file is up to 4 kB too short, and nobody hears of it.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt


def save(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array as ``np.save`` does, to the byte.

    Raises:
        OSError: the disk is full.
    """
    with path.open("wb") as file:
        only_writes = cast(BinaryIO, SimpleNamespace(write=file.write))  # NumPy goes round a file that it knows as one
        np.lib.format.write_array(only_writes, array, allow_pickle=False)


def write(file: BinaryIO, array: npt.NDArray[Any]) -> None:
    """Write the bytes of an array, as ``ndarray.tofile`` does.

    Raises:
        OSError: the disk is full, perhaps only when ``file`` is closed.
    """
    file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
