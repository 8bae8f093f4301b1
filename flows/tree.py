"""One machine at a time builds a working tree.

DVC's locks name processes by their number, which says nothing on another machine that shares the folder: each would
take the other's for dead. So whoever builds leaves a file beside those locks for as long as it does, and touches it.
That another machine's is fresh is seen against one's own, by the clock of the file system that keeps both.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from stages.core.errors import HeadwaterError

FOLDER = Path(".dvc/tmp/builds")

_TOUCHED = 20.0  # seconds from one touch to the next
_STALE = 120.0  # seconds after which a machine is taken for gone


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold the working tree for this machine; other processes of it may, too.

    Raises:
        HeadwaterError: another machine is building it.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    mine = FOLDER / f"{socket.gethostname()} {os.getpid()} {threading.get_ident()}"
    mine.touch()
    ended = threading.Event()
    try:
        _require_alone(mine)
        threading.Thread(target=_touch, args=[mine, ended], daemon=True).start()
        yield
    finally:
        ended.set()
        mine.unlink(missing_ok=True)


def _require_alone(mine: Path) -> None:
    now = mine.stat().st_mtime
    for other in sorted(FOLDER.iterdir()):
        machine = other.name.split(" ")[0]
        with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
            if now - other.stat().st_mtime > _STALE:
                other.unlink()  # killed
            elif machine != socket.gethostname():
                raise HeadwaterError(f"{machine} is building this working tree; one machine does at a time")


def _touch(path: Path, ended: threading.Event) -> None:
    while not ended.wait(_TOUCHED):
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
