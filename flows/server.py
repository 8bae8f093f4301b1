"""The Prefect server of this project: on this machine only, its database in the project.

``python -m flows.server`` serves the UI until it is stopped. A build uses that server when it is up, and otherwise
starts one of its own for as long as it takes, over the same database: the UI shows that build later.
"""

import argparse
import atexit
import contextlib
import json
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from flows import guard
from stages.core.errors import HeadwaterError

_HOST = "127.0.0.1"
_PORT = 4200  # the one that Prefect's own tools expect
_START = 120.0  # seconds for a server to come up; the first start makes the database, 10 s on a busy machine


def main() -> None:
    """Serve until interrupted; the command line of ``python -m flows.server``."""
    parser = argparse.ArgumentParser(prog="python -m flows.server", description="Serve the Prefect UI on this machine.")
    parser.add_argument("--port", type=int, default=_PORT, help=f"port on {_HOST} (default: {_PORT})")
    port = parser.parse_args().port
    if url := _recorded():
        print(f"The Prefect UI is up already: {url}")
        return
    if not _free(port):
        sys.exit(f"error: port {port} is taken by another program; choose one: python -m flows.server --port PORT")
    url = f"http://{_HOST}:{port}"
    _record().parent.mkdir(parents=True, exist_ok=True)
    _record().write_text(json.dumps({"url": url, "pid": os.getpid()}), "utf-8")
    print(f"Prefect UI: {url} (Ctrl-C stops it)", flush=True)
    command, environment = _command(port), {"PREFECT_UI_API_URL": f"{url}/api"}
    os.execve(command[0], command, {**os.environ, **environment})  # under this process id, which is recorded


@contextlib.contextmanager
def used() -> Iterator[str]:
    """A server for what runs inside, as Prefect's setting; gives its URL.

    It is the one that PREFECT_API_URL names, else the project's own where that is up, else a temporary one that ends
    with this process.

    Raises:
        HeadwaterError: the server does not answer, or none can be started.
    """
    configured = get_current_settings().api.url
    url = configured.removesuffix("/api") if configured else _recorded() or _temporary()
    if not _healthy(url):
        raise HeadwaterError(f"no Prefect server answers at {configured}; start it, or unset PREFECT_API_URL")
    with temporary_settings({PREFECT_API_URL: f"{url}/api"}):
        yield url


def _temporary() -> str:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port = probe.getsockname()[1]
    url = f"http://{_HOST}:{port}"
    log = get_current_settings().home / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as output:
        process = guard.start(_command(port), {"PREFECT_SERVER_UI_ENABLED": "false"}, output=output)
    # Prefect sends the last log lines when this process ends, before it comes to this.
    atexit.register(_end, process)
    deadline = time.monotonic() + _START
    while not _healthy(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise HeadwaterError(f"the temporary Prefect server does not start; see {log}")
        time.sleep(0.1)
    return url


def _end(process: guard.Guarded) -> None:
    guard.stop(process)
    process.wait()


def _command(port: int) -> list[str]:
    return [sys.executable, "-m", "prefect", "server", "start", "--host", _HOST, "--port", str(port)]


def _record() -> Path:
    home: Path = get_current_settings().home
    return home / "server.json"


def _recorded() -> str | None:
    """The URL of the project's own server, if it is up."""
    try:
        record = json.loads(_record().read_text("utf-8"))
        os.kill(record["pid"], 0)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return record["url"] if _healthy(record["url"]) else None


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/health", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:  # refused, reset, or too slow; urllib's own errors are of this kind
        return False


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    main()
