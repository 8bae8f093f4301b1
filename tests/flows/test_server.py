"""What is said of a server that does not let one in, and the password that the project's own server asks for."""

import base64
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_HOME, temporary_settings

from flows import server
from stages.core.errors import HeadwaterError


class _Guarded(http.server.BaseHTTPRequestHandler):
    """Answers as Prefect does to one password, and to any other."""

    def do_GET(self) -> None:
        expected = f"Basic {base64.b64encode(b'headwater:right').decode()}"
        status = 200 if self.headers.get("Authorization") == expected else 401
        self.send_response(status if self.path == "/api/admin/version" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    """Of a server that takes one password."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Guarded) as guarded:
        thread = threading.Thread(target=guarded.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{guarded.server_port}"
        guarded.shutdown()
        thread.join()


def test_a_wrong_password_is_told_in_one_line(url: str) -> None:
    server.require_welcome(url, "headwater:right")
    for wrong in ("headwater:wrong", None):
        with pytest.raises(HeadwaterError, match="wrong user or password; set PREFECT_API_AUTH_STRING=user:password"):
            server.require_welcome(url, wrong)
    with pytest.raises(HeadwaterError, match="no Prefect server that this version can talk to"):
        server.require_welcome(f"{url}/elsewhere", None)


def test_a_password_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    with temporary_settings({PREFECT_HOME: tmp_path / "home"}, restore_defaults={PREFECT_API_AUTH_STRING}):
        assert server.secret() is None
        made = server.secret(make=True)
        assert made is not None
        assert len(made) > 30
        assert server.secret(make=True) == server.secret() == made
        assert server.secret_file().stat().st_mode & 0o777 == 0o600
