"""Arrays in files: NumPy's own bytes, and nothing is lost on a full disk without a word."""

import io
from pathlib import Path

import numpy as np
import pytest

from stages.core import arrays
from tests.conftest import ROOT

PAIRS = np.dtype([("key", "u8"), ("row", "u4")])
ARRAYS = [
    np.arange(3),
    np.zeros((0, 5), np.uint16),
    np.arange(12, dtype=np.uint16).reshape(3, 4).T,
    np.array([(1, 2), (3, 4)], PAIRS),
    np.zeros(0, PAIRS),
    np.array(["a", "bc"]),
]


@pytest.mark.parametrize("array", ARRAYS)
def test_the_bytes_are_those_that_numpy_writes(tmp_path: Path, array: np.ndarray) -> None:
    expected = io.BytesIO()
    np.save(expected, array)
    arrays.save(tmp_path / "saved", array)
    assert (tmp_path / "saved").read_bytes() == expected.getvalue()
    with (tmp_path / "written").open("wb") as file:
        arrays.write(file, array)
    assert (tmp_path / "written").read_bytes() == array.tobytes()


def test_a_full_disk_is_an_error() -> None:
    full = Path("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        arrays.save(full, np.arange(9))
    with pytest.raises(OSError, match="No space left"), full.open("wb") as file:
        arrays.write(file, np.arange(9))


def test_no_module_has_numpy_write_to_a_file() -> None:
    asked = [path for path in (ROOT / "stages").rglob("*.py") if path.name != "arrays.py"]
    assert not [path for path in asked if "np.save(" in (text := path.read_text("utf-8")) or ".tofile(" in text]
