"""Files of numbers are read and written in place, also where there is nothing in them."""

from pathlib import Path

import numpy as np
import pytest

from stages.web.duplicates.flat_files import created, length, mapped


@pytest.mark.parametrize("count", [0, 3])
def test_what_is_written_into_a_new_file_is_read_from_it(tmp_path: Path, count: int) -> None:
    made = created(tmp_path / "numbers", np.uint32, count)
    made[:] = np.arange(count)
    assert length(tmp_path / "numbers", np.uint32) == count
    assert mapped(tmp_path / "numbers", np.uint32).tolist() == list(range(count))


def test_a_new_file_has_its_space_before_it_is_written_to(tmp_path: Path) -> None:
    created(tmp_path / "numbers", np.uint8, 1 << 20)
    assert (tmp_path / "numbers").stat().st_blocks * 512 >= 1 << 20


def test_a_file_that_is_only_read_cannot_be_changed(tmp_path: Path) -> None:
    np.arange(3).tofile(tmp_path / "numbers")
    with pytest.raises(ValueError, match="read-only"):
        mapped(tmp_path / "numbers", np.int64)[0] = 1
