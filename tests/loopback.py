"""A web server on loopback that serves files with ranges, and misbehaves as it is told."""

import hashlib
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ALLOWED = ["127.0.0.0/8"]


@dataclass
class Answer:
    """What the server says to one request."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    """Bytes of the body after which the connection is closed."""
    reset: bool = False
    """Whether it is closed by a reset, not by an end."""
    pause: float = 0
    """Seconds before each kilobyte of the body."""
    delay: float = 0
    """Seconds before the answer."""


@dataclass
class Server:
    """What is served, by path and query; and what was asked for."""

    host: str = ""
    port: int = 0
    files: dict[str, Answer] = field(default_factory=dict)
    first: dict[str, list[Answer]] = field(default_factory=dict)
    """Answers that are given once each before those of ``files``; a whole body cut short honours Range."""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Of the root, ending in a slash."""
        return f"http://{self.host}:{self.port}/"

    def add(self, path: str, body: bytes, content_type: str = "text/html; charset=utf-8", **headers: str) -> None:
        """Serve a body, with an ETag and a Content-Type."""
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        self.files[path] = Answer(body, headers={"Content-Type": content_type, "ETag": etag, **headers})

    def asked(self, path: str, method: str = "GET") -> list[str]:
        """The Range of every request for a path, "" for none."""
        return [headers.get("Range", "") for verb, asked, headers in self.requests if (verb, asked) == (method, path)]


@contextmanager
def serve(host: str = "127.0.0.1") -> Iterator[Server]:
    """A server in a thread of this process."""
    state = Server(host)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            state.requests.append((self.command, self.path, dict(self.headers.items())))
            once = state.first.get(self.path, []) if self.command == "GET" else []
            answer = once.pop(0) if once else state.files.get(self.path, Answer(b"nothing here", 404))
            body, status, headers = answer.body, answer.status, dict(answer.headers)
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            same = self.headers.get("If-Range") in (None, headers.get("ETag"))
            if status == 200 and wanted and same:
                start, end = int(wanted[1]), int(wanted[2] or len(body) - 1)
                headers["Content-Range"] = f"bytes {start}-{min(end, len(body) - 1)}/{len(body)}"
                body, status = body[start : end + 1], 206
            time.sleep(answer.delay)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                body = body[: answer.cut]
                for at in range(0, len(body), 1024 if answer.pause else len(body)):
                    time.sleep(answer.pause)
                    self.wfile.write(body[at : at + 1024] if answer.pause else body)
            if answer.cut is not None:
                self.close_connection = True
            if answer.reset:
                time.sleep(0.05)  # or what was sent is thrown away with the connection
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Clients that hang up are part of the play."""

    server = Quiet((host, 0), Handler)
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
