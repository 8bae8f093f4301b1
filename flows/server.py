"""The Prefect server of this project: on this machine only, its database in the project.

``python -m flows.server`` serves the UI until it is stopped; `flows.service` does so in the background, with a
password. A flow uses that server when it is up, and otherwise starts one of its own for as long as it takes, over the
same database: the UI shows that run later.
"""

import argparse
import atexit
import base64
import contextlib
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, get_current_settings, temporary_settings

from flows import guard, processes
from stages.core.errors import HeadwaterError

HOST = "127.0.0.1"
PORT = 4200  # the one that Prefect's own tools expect
_SPACE = 10e6  # bytes: a new database takes 2 MB, a build of twelve stages .4 more
_started: guard.Guarded | None = None  # the temporary server of this process
_START = 300.0  # seconds for a server to come up; the first start makes the database, 10 s on a busy machine


def main() -> None:
    """Serve until interrupted; the command line of ``python -m flows.server``."""
    parser = argparse.ArgumentParser(prog="python -m flows.server", description="Serve the Prefect UI on this machine.")
    parser.add_argument("--port", type=int, default=PORT, help=f"port on {HOST} (default: {PORT})")
    port = parser.parse_args().port
    if url := recorded():
        print(f"The Prefect UI is up already: {url}")
        return
    try:
        require_free(port)
    except HeadwaterError as error:
        sys.exit(f"error: {error}")
    url = f"http://{HOST}:{port}"
    _record().parent.mkdir(parents=True, exist_ok=True)
    _record().write_text(json.dumps({"url": url, "pid": os.getpid()}), "utf-8")
    print(f"Prefect UI: {url} (Ctrl-C stops it); what runs in this folder is shown there", flush=True)
    command, environment = _command(port), {"PREFECT_UI_API_URL": f"{url}/api"}
    os.execve(command[0], command, {**os.environ, **environment})  # under this process id, which is recorded


@contextlib.contextmanager
def used() -> Iterator[str]:
    """A server for what runs inside, as Prefect's setting; gives its URL.

    It is the one that PREFECT_API_URL names, else the project's own where that is up, else a temporary one that ends
    with this process.

    Raises:
        HeadwaterError: the server does not answer, refuses the password, or none can be started.
    """
    configured, own = get_current_settings().api.url, recorded()
    url = configured.removesuffix("/api") if configured else own or _temporary()
    if not _healthy(url):
        raise HeadwaterError(f"no Prefect server answers at {configured}; start it, or unset PREFECT_API_URL")
    given = secret() if url == own else _given_secret()  # another server is not told this one's password
    require_welcome(url, given)
    with temporary_settings({PREFECT_API_URL: f"{url}/api", PREFECT_API_AUTH_STRING: given}):
        processes.end_lost()
        yield url


def secret(*, make: bool = False) -> str | None:
    """User and password as ``user:password``: those of Prefect's settings, else those of this project's own server.

    Args:
        make: Make them if there are none.
    """
    if given := _given_secret():
        return given
    path = secret_file()
    if make and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: an empty one, as a full disk leaves it, would be none.
        handle, partial = tempfile.mkstemp(dir=path.parent)  # which only its owner may read
        with os.fdopen(handle, "w") as file:
            file.write(f"headwater:{secrets.token_urlsafe(18)}")
        Path(partial).replace(path)
    return path.read_text("utf-8").strip() if path.exists() else None


def _given_secret() -> str | None:
    settings = get_current_settings()
    given = settings.api.auth_string or settings.server.api.auth_string
    return str(given.get_secret_value()) if given else None


def secret_file() -> Path:
    """Where user and password of this project's own server lie."""
    home: Path = get_current_settings().home
    return home / "password"


def require_welcome(url: str, given: str | None) -> None:
    """Check that a server takes a user and password, or asks for none.

    Raises:
        HeadwaterError: it does not.
    """
    request = urllib.request.Request(f"{url}/api/admin/version")
    if given:
        request.add_header("Authorization", f"Basic {base64.b64encode(given.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=30):
            return
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise HeadwaterError(f"{url}: no Prefect server that this version can talk to: {error}") from None
        raise HeadwaterError(f"{url}: wrong user or password; set PREFECT_API_AUTH_STRING=user:password") from None
    except OSError as error:
        raise HeadwaterError(f"{url}: {error}") from None


def require_space() -> None:
    """Check that there is room for a server's database and logs.

    Raises:
        HeadwaterError: the disk of Prefect's home is full.
    """
    home = get_current_settings().home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free
    if free < _SPACE:
        raise HeadwaterError(f"{free / 1e6:.0f} MB are left on the disk of {home}; free some and run again")


def _temporary() -> str:
    require_space()
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    url = f"http://{HOST}:{port}"
    log = get_current_settings().home / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as output:
        process = guard.start(_command(port), {"PREFECT_SERVER_UI_ENABLED": "false"}, output=output)
    global _started
    _started = process
    # Prefect sends the last log lines when this process ends, before it comes to this.
    atexit.register(_end, process)
    return awaited(url, lambda: process.poll() is None, log)


def awaited(url: str, running: Callable[[], object], log: Path) -> str:
    """``url``, once the server that was started there answers.

    Raises:
        HeadwaterError: it ended, or takes too long; ``log`` says why.
    """
    deadline = time.monotonic() + _START
    while not _healthy(url):
        if not running() or time.monotonic() > deadline:
            raise HeadwaterError(f"the Prefect server does not start; see {log}")
        time.sleep(0.1)
    return url


def _end(process: guard.Guarded) -> None:
    guard.stop(process)
    process.wait()


def _command(port: int) -> list[str]:
    return [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]


def _record() -> Path:
    home: Path = get_current_settings().home
    return home / "server.json"


def recorded() -> str | None:
    """The URL of the project's own server, if it is up."""
    try:
        record = json.loads(_record().read_text("utf-8"))
        os.kill(record["pid"], 0)
    except (FileNotFoundError, ProcessLookupError, PermissionError, ValueError):  # none, gone, another's, cut off
        return None
    return record["url"] if _healthy(record["url"]) else None


def temporary() -> bool:
    """Whether the server in use is one that this process started, and that ends with it."""
    return _started is not None


def up() -> bool:
    """Whether :func:`used` would take a server that is there, rather than start one."""
    return bool(get_current_settings().api.url or recorded())


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/health", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:  # refused, reset, or too slow; urllib's own errors are of this kind
        return False


def require_free(port: int) -> None:
    """Check that a server can listen on ``port``.

    Raises:
        HeadwaterError: another program does.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise HeadwaterError(f"port {port} is taken by another program; choose one with --port PORT") from None


if __name__ == "__main__":
    main()
