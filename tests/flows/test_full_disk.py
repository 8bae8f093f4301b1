"""A disk that is full before a build, and one that a stage fills: a clear line, and the next build goes on."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prefect.settings import PREFECT_HOME, temporary_settings

from flows import server
from stages.core.errors import HeadwaterError
from tests.conftest import DISK_MB

if TYPE_CHECKING:
    from tests.flows.conftest import Project


def filled(disk: Path) -> Path:
    """A file that leaves nothing of a disk."""
    path, free = disk / "fill", shutil.disk_usage(disk).free
    with path.open("wb", buffering=0) as file:
        assert file.write(bytes(free)) == free
    return path


def test_a_full_disk_is_named_and_leaves_no_empty_password(disk: Path) -> None:
    with temporary_settings({PREFECT_HOME: disk / "home"}):
        fill = filled(disk)
        with pytest.raises(HeadwaterError, match=r"^0 MB are left on the disk of .*/home; free some and run again$"):
            server.require_space()
        with pytest.raises(OSError, match="No space left"):
            server.secret(make=True)
        assert server.secret() is None
        fill.unlink()
        server.require_space()
        made = server.secret(make=True)
        assert made
        assert made == server.secret()
        assert server.secret_file().stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_stage_that_fills_the_disk_fails_with_a_line_and_the_next_build_goes_on(
    project: "Project", disk: Path
) -> None:
    del project.environment["PREFECT_API_URL"]
    project.environment["PREFECT_HOME"] = str(disk / "home")
    project.build("source")
    work = (project.root / "work.py").read_text()
    fill = f"if Path('full').exists(): Path('{disk}/fill').write_bytes(bytes({DISK_MB}_000_000))"
    project.write("work.py", work.replace("text = ", f"{fill}\ntext = ", 1))
    project.write("full", "")
    said = project.build("left", status=1)
    assert "OSError: [Errno 28] No space left on device" in said
    kept = "what is finished is kept, run again to continue"
    assert f"error: no space left on the disk of {disk}/home; free some: {kept}" in said.splitlines()

    (project.root / "full").unlink()
    (disk / "fill").unlink()
    project.build()
    assert sorted(project.ran()) == ["joined", "left", "left", "right", "source"]
