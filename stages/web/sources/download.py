"""Files from the web: kept by identity, resumed where they were cut off, asked for politely.

A file has a folder of its own in the work area, with what the server said of it. When it is asked for again, the server
is asked whether it has changed; when a download ends early, the next goes on behind the last byte, as long as it
is the same file there (``If-Range``, RFC 9110 section 13.1.5).
"""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import requests
import urllib3

from stages.core import shards
from stages.core.errors import HeadwaterError
from stages.core.progress import log
from stages.web.sources import connections
from stages.web.sources.addresses import Network
from stages.web.sources.intake import safe
from stages.web.sources.patience import LaterError, Patience

_TRIES = 5  # in a row without a byte
_TIMEOUT = (30, 120)  # seconds to connect, and between two bytes
_BLOCK = 1 << 20
_SAY_EVERY = 30.0  # seconds between lines about a download that takes long
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # states that pass


class MissingFileError(HeadwaterError):
    """The server says that there is no such file."""


class Web:
    """Downloads over connections whose addresses are checked.

    Args:
        allowed: Networks beside the public ones that may be connected to.
    """

    def __init__(self, allowed: tuple[Network, ...]) -> None:
        self._session = connections.session(allowed)
        self._patience = Patience()

    def end(self) -> None:
        """Let the downloads of other threads end soon; what has come of them is kept."""
        self._patience.end()

    def forget(self, url: str) -> None:
        """Have a file downloaded anew when it is next asked for: what came cannot be it."""
        _identity_file(_folder(url)).unlink(missing_ok=True)

    def file(self, url: str, *, immutable: bool = False) -> Path:
        """The file behind a URL, downloaded unless it is here; named as in the URL.

        Args:
            url: http or https.
            immutable: Whether what is here is taken without asking the server whether it has changed.

        Raises:
            HeadwaterError: it cannot be had; what has come of it is kept.
        """
        folder = _folder(url)
        target = folder / _name(url)
        identity = _read_identity(folder)
        if target.exists() and identity is not None:
            if immutable or not self._changed(url, identity):
                return target
            log(f"{url} has changed: downloading it again")
            _identity_file(folder).unlink()
        self._complete(url, folder)
        shards.replace(_partial(folder), target)
        return target

    def read(self, url: str, max_bytes: int) -> bytes:
        """What is behind a URL, in memory.

        Raises:
            HeadwaterError: it cannot be had, or has more than ``max_bytes``.
        """

        def body(response: requests.Response) -> bytes:
            data = bytearray()
            for block in self._blocks(response):
                data += block
                if len(data) > max_bytes:
                    raise HeadwaterError(f"{url}: more than {max_bytes:,} bytes")
            return bytes(data)

        return self._tried(url, {}, body)

    def part(self, url: str, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` on of the file behind a URL.

        Raises:
            HeadwaterError: they cannot be had, or the file ends before.
        """
        last = offset + length - 1

        def body(response: requests.Response) -> bytes:
            if response.status_code == 200:
                raise HeadwaterError(f"{url}: the server does not serve parts of files (Range)")
            first, end = _range(response)
            if response.status_code == 416 or (first == offset and end < last):
                raise HeadwaterError(f"{url}: it ends before byte {last:,}, up to which it was asked for")
            if (first, end) != (offset, last):
                raise ConnectionError("the server answers with another part of the file than was asked for")
            data = bytearray()
            for block in self._blocks(response):
                data += block
                if len(data) > length:
                    raise ConnectionError(f"more than the {length:,} bytes that were asked for")
            if len(data) != length:
                raise ConnectionError(f"{len(data):,} of {length:,} bytes")
            return bytes(data)

        return self._tried(url, {"Range": f"bytes={offset}-{last}"}, body)

    def _changed(self, url: str, identity: dict[str, str]) -> bool:
        try:
            with self._response(url, {}, method="HEAD") as response:
                return not _agree(_identity(response), identity)
        except (OSError, LaterError, HeadwaterError) as error:
            log(f"{url}: cannot see whether it has changed ({_said(error)}); going on with what is here")
            return False

    def _complete(self, url: str, folder: Path) -> None:
        """Have the whole file in ``_partial(folder)``, in as many requests as it takes."""
        failed, furthest = 0, _size(_partial(folder))
        while failed < _TRIES:
            try:
                if self._continue(url, folder):
                    return
                problem: Exception = ConnectionError("the connection ended early")
            except (OSError, LaterError) as error:
                problem = error
            # A download that moves may be cut off as often as it likes; one that begins again each time does not move.
            size = _size(_partial(folder))
            failed, furthest = (0, size) if size > furthest else (failed + 1, furthest)
            if failed < _TRIES:
                self._patience.postpone(_host(url), problem, _said(problem), failed)
        raise HeadwaterError(
            f"{url}: {_said(problem)}, {_TRIES} times; "
            f"the {_size(_partial(folder)):,} bytes that have come are kept: run again later"
        )

    def _continue(self, url: str, folder: Path) -> bool:
        """Go on with a partial download, or begin it; whether it is whole now."""
        partial, identity = _partial(folder), _read_identity(folder)
        start = _size(partial) if identity else 0
        validator = _validator(identity) if identity else ""
        headers = {"Range": f"bytes={start}-", "If-Range": validator} if start and validator else {}
        if identity and start and str(start) == identity.get("length"):
            return True
        with self._response(url, headers) as response:
            there = _identity(response)
            if response.status_code == 206 and identity and _agree(there, identity) and _range(response)[0] == start:
                mode, there = "ab", identity
            elif response.status_code == 200:
                mode = "wb"
                _identity_file(folder).write_text(json.dumps(there), "utf-8")
            else:
                self.forget(url)
                raise ConnectionError("the server answers with a part of another file, or another part, than was begun")
            with partial.open(mode) as file:
                said = time.monotonic()
                for block in self._blocks(response):
                    file.write(block)
                    if time.monotonic() - said >= _SAY_EVERY:
                        said = time.monotonic()
                        whole = f" of {int(there['length']) / 1e6:,.0f}" if "length" in there else ""
                        log(f"{_name(url)}: {file.tell() / 1e6:,.0f}{whole} MB have come")
        return "length" not in there or str(_size(partial)) == there["length"]

    def _tried(self, url: str, headers: dict[str, str], body: Any) -> bytes:
        for failed in range(1, _TRIES + 1):
            try:
                with self._response(url, headers) as response:
                    return cast(bytes, body(response))
            except (OSError, LaterError) as error:
                problem = error
            if failed < _TRIES:
                self._patience.postpone(_host(url), problem, _said(problem), failed)
        raise HeadwaterError(f"{url}: {_said(problem)}, {_TRIES} times; run again later")

    @contextmanager
    def _response(self, url: str, headers: dict[str, str], method: str = "GET") -> Iterator[requests.Response]:
        """A response of state 200, 206 or 416; raises ``LaterError`` for a state that passes."""
        self._patience.wait(_host(url))
        self._patience.check()
        try:
            response = self._session.request(
                method, url, headers=headers, stream=True, timeout=_TIMEOUT, allow_redirects=True
            )
        except requests.exceptions.SSLError as error:
            raise HeadwaterError(f"{url}: no safe connection: {_said(error)}") from None
        except ValueError as error:
            raise HeadwaterError(f"{url}: it, or where it redirects to, is no URL of http or https: {error}") from None
        except requests.exceptions.TooManyRedirects:
            raise HeadwaterError(f"{url}: it redirects for ever") from None
        with response:
            state = response.status_code
            if state in _PASSING:
                raise LaterError(f"the server answers {state}", response.headers.get("Retry-After", ""))
            if state in (404, 410):
                raise MissingFileError(f"{url}: there is no such file (the server answers {state})")
            if state == 403:
                raise HeadwaterError(
                    f"{url}: the server answers 403: it may refuse those who ask for much, for a day or so, "
                    "or ask for a login; what has come is kept: run again later"
                )
            if state not in (200, 206, 416):
                raise HeadwaterError(f"{url}: the server answers {state}; open the URL in a browser to see why")
            yield response

    def _blocks(self, response: requests.Response) -> Iterator[bytes]:
        """The body as it is sent and as soon as it comes; one that ends early raises an OSError."""
        try:
            while block := response.raw.read1(_BLOCK, decode_content=False):
                yield block
                self._patience.check()
        except urllib3.exceptions.HTTPError as error:
            early = "IncompleteRead" in str(error)
            raise ConnectionError("the connection ended early" if early else _said(error)) from None


def _said(problem: BaseException) -> str:
    """The innermost reason of a failed connection, on one line."""
    while inner := next((one for one in (getattr(problem, "reason", None), *problem.args) if _is_error(one)), None):
        problem = inner
    return " ".join(str(problem).split()).rpartition(": ")[2] or type(problem).__name__


def _is_error(thing: object) -> bool:
    return isinstance(thing, BaseException)


def _identity(response: requests.Response) -> dict[str, str]:
    """What tells this file from another at the same place, as far as the server says."""
    said = {"etag": response.headers.get("ETag", ""), "last_modified": response.headers.get("Last-Modified", "")}
    length = response.headers.get("Content-Length", "")
    if response.status_code == 206:
        length = response.headers.get("Content-Range", "").rpartition("/")[2]
    if length.isdigit():
        said["length"] = length
    return {name: value for name, value in said.items() if value}


def _validator(identity: dict[str, str]) -> str:
    """What If-Range may name: a strong ETag, else a date."""
    etag = identity.get("etag", "")
    return etag if etag and not etag.startswith("W/") else identity.get("last_modified", "")


def _agree(one: dict[str, str], other: dict[str, str]) -> bool:
    """Whether both may be of the same file: what both say is the same."""
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def _range(response: requests.Response) -> tuple[int, int]:
    """The first and the last byte that a 206 brings; -1 where it does not say."""
    found = re.match(r"bytes ([0-9]{1,18})-([0-9]{1,18})", response.headers.get("Content-Range", ""))
    return (int(found[1]), int(found[2])) if found else (-1, -1)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _name(url: str) -> str:
    return safe(urlsplit(url).path.rpartition("/")[2])


def _folder(url: str) -> Path:
    return shards.area("crawl-downloads", hashlib.blake2b(url.encode(), digest_size=16).hexdigest())


def _identity_file(folder: Path) -> Path:
    return folder / "identity.json"


def _partial(folder: Path) -> Path:
    return folder / "partial"


def _read_identity(folder: Path) -> dict[str, str] | None:
    try:
        return cast(dict[str, str], json.loads(_identity_file(folder).read_text("utf-8")))
    except (OSError, ValueError):
        return None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
