"""One machine at a time builds a working tree.

DVC's locks name processes by their number, which says nothing on another machine that shares the folder: each would
take the other's for dead. So whoever builds leaves a file beside those locks for as long as it does, and touches it.
That another machine's is fresh is seen against one's own, by the clock of the file system that keeps both. Of any other
the age says nothing, for a clock may have been set: it is watched until it is touched, or long enough not to be.

A build may have stages built by others, on other machines too. The file says which build it is of, and those of one
build hold the tree together.
"""

import contextlib
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from flows.processes import began
from stages.core.errors import HeadwaterError

FOLDER = Path(".dvc/tmp/builds")

_TOUCHED = 20.0  # seconds from one touch to the next
_FRESH = 120.0  # seconds of age
_WATCHED = 100.0  # seconds without a touch after which a machine is taken for gone; NFS shows one up to 60 late


@contextlib.contextmanager
def held(build: str | None = None) -> Iterator[str]:
    """Hold the working tree for this machine; other processes of it may, too. Gives what names the build.

    Args:
        build: The name of the build that this is a part of, which holds the tree already.

    Raises:
        HeadwaterError: another machine is building it, or ``build`` is not.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    mine = FOLDER / f"{socket.gethostname()} {os.getpid()} {threading.get_ident()}"
    mine.touch()
    if build is None:
        build = secrets.token_hex(8)
    elif not any(_is_of(path, build) and _lives(path, mine) for path in FOLDER.iterdir()):
        mine.unlink()
        raise HeadwaterError(
            f"{socket.gethostname()}: {Path.cwd()} is not the folder of the build that asks for this, or that build has"
            " ended; its workers must share one folder, under one path"
        )
    mine.write_text(build)
    ended = threading.Event()
    try:
        _require_alone(mine, build)
        threading.Thread(target=_touch, args=[mine, ended], daemon=True).start()
        yield build
    finally:
        ended.set()
        mine.unlink(missing_ok=True)


def _is_of(path: Path, build: str) -> bool:
    try:
        return path.read_text() == build
    except FileNotFoundError:  # it has ended meanwhile
        return False


def _lives(path: Path, mine: Path) -> bool:
    """Whether the process that left a file is there, as far as can be seen at once."""
    machine, process, _ = path.name.split(" ")
    if machine == socket.gethostname():
        return began(int(process)) is not None
    return abs(mine.stat().st_mtime - path.stat().st_mtime) <= _FRESH


def _require_alone(mine: Path, build: str) -> None:
    now = mine.stat().st_mtime
    for other in sorted(FOLDER.iterdir()):
        machine, process, _ = other.name.split(" ")
        with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
            if machine == socket.gethostname():
                if began(int(process)) is None:
                    other.unlink()  # killed
            elif _is_of(other, build):
                pass
            elif 0 <= now - other.stat().st_mtime <= _FRESH or _is_touched(other, machine):
                raise HeadwaterError(f"{machine} is building this working tree; one machine does at a time")
            else:
                other.unlink()


def _is_touched(path: Path, machine: str) -> bool:
    print(f"{machine} left a build of this working tree; watching for {_WATCHED:.0f} s if it lives", file=sys.stderr)
    before, deadline = path.stat().st_mtime_ns, time.monotonic() + _WATCHED
    while time.monotonic() < deadline:
        time.sleep(min(1.0, _WATCHED / 10))
        if path.stat().st_mtime_ns != before:
            return True
    return False


def _touch(path: Path, ended: threading.Event) -> None:
    while not ended.wait(_TOUCHED):
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
