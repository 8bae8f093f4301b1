"""A PostgreSQL of Debian's on loopback, with a password, and databases in it."""

import contextlib
import dataclasses
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import URL

_OWNER = "headwater"


def programs() -> Path | None:
    """The folder of PostgreSQL's programs; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    initdb = shutil.which("initdb")
    return found[-1].parent if found else Path(initdb).resolve().parent if initdb else None


@dataclasses.dataclass(frozen=True)
class PostgreSQL:
    """A server."""

    programs: Path
    port: int
    password: str

    def database(self, driver: str) -> URL:
        """A new and empty database: its address for SQLAlchemy with a driver, such as pg8000, and with the password."""
        name = f"d{secrets.token_hex(6)}"
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", _OWNER]
        environment = {**os.environ, "PGPASSWORD": self.password}
        subprocess.run([str(self.programs / "createdb"), *where, name], env=environment, check=True)
        return URL.create(f"postgresql+{driver}", _OWNER, self.password, "127.0.0.1", self.port, name)


@contextlib.contextmanager
def served(programs: Path) -> Iterator[PostgreSQL]:
    """A server for as long as the context lasts."""
    password = secrets.token_urlsafe(12)
    # Its server refuses to run as root, and another user can't come into a folder of root's tests.
    with tempfile.TemporaryDirectory(prefix="headwater-postgresql-") as name:
        folder, user = Path(name), _user()
        (folder / "password").write_text(password)
        for path in (folder, folder / "password"):
            if user:
                shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
        data = ["-D", str(folder / "data")]
        options = ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}", f"--username={_OWNER}", "--no-sync"]
        subprocess.run([*_as(user), str(programs / "initdb"), *data, *options], check=True, capture_output=True)
        port = _free_port()
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-p", str(port)]
        with (folder / "log").open("w") as log:
            command = [*_as(user), str(programs / "postgres"), *data, *settings]
            server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while subprocess.run([str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.2)
            yield PostgreSQL(programs, port, password)
        finally:
            server.send_signal(signal.SIGINT)  # ends connections that are open
            server.wait(60)


def _user() -> str | None:
    return "nobody" if os.geteuid() == 0 else None


def _as(user: str | None) -> list[str]:
    if user is None:
        return []
    return ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
