"""The small model that the room's tests score."""

from pathlib import Path

import pytest

from tests import small_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the model."""
    return small_model.train(tmp_path_factory.mktemp("models") / "small")
