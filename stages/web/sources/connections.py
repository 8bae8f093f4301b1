"""HTTP over connections whose address is checked before a byte is sent, on every hop of a redirect."""

import socket
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import connectionpool
from urllib3.connection import HTTPConnection, HTTPSConnection

from stages.core.errors import HeadwaterError
from stages.web.sources.addresses import Network, permitted

USER_AGENT = "Headwater/0.1"


def session(allowed: tuple[Network, ...]) -> requests.Session:
    """A session that connects to public addresses and those of ``allowed``; others raise a HeadwaterError.

    A proxy that the environment names (``HTTPS_PROXY``) is used, and then it is the proxy that resolves names.
    """
    made = _Session()
    made.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity", "Accept": "*/*"})
    adapter = _Adapter(allowed)
    made.mount("http://", adapter)
    made.mount("https://", adapter)
    return made


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where a redirect leads; its body, which requests would read into memory, may have no end and is not read."""
        target = super().get_redirect_target(resp)
        if target is not None:
            resp.raw.close()
            resp._content, resp._content_consumed = b"", True
        return target


class _Adapter(HTTPAdapter):
    def __init__(self, allowed: tuple[Network, ...]) -> None:
        self._allowed = allowed
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **settings: Any) -> None:
        super().init_poolmanager(*arguments, **settings)
        allowed = self._allowed

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                self._dns_host = _checked(self.host, self.port, allowed)
                return super()._new_conn()

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                # Only what is connected to: the certificate is still held against the name.
                self._dns_host = _checked(self.host, self.port, allowed)
                return super()._new_conn()

        class PlainPool(connectionpool.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(connectionpool.HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}


def _checked(host: str, port: int, allowed: tuple[Network, ...]) -> str:
    """An address of ``host`` that may be connected to.

    Raises:
        HeadwaterError: it has none.
        OSError: the name cannot be resolved just now.
    """
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise
        raise HeadwaterError(f"{host}: no such host; check the URL and the network") from None
    for address in found:
        if permitted(address, allowed):
            return address
    raise HeadwaterError(
        f"{host} is at {', '.join(dict.fromkeys(found))}, which is not public: "
        "crawl.allow_private in params.yaml names networks that may be connected to all the same"
    )
