"""Document shards: where there are none, the stage that reads them says so."""

from pathlib import Path

import pytest

from stages.core import documents
from stages.core.errors import HeadwaterError


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_without_documents_is_named(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "kept"
    if made:
        folder.mkdir()
        (folder / "README.md").write_text("none yet")
    with pytest.raises(HeadwaterError, match=r"/kept: no documents here; `dvc repro` makes"):
        documents.files(folder)


def test_shards_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.parquet").touch()
    assert [path.stem for path in documents.files(tmp_path)] == ["a", "b", "c"]
