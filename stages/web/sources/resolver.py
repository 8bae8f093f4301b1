"""Names resolved for the crawler's event loop, to addresses that may be connected to and no others."""

from typing import Any

from twisted.internet.interfaces import IAddress, IHostnameResolver, IResolutionReceiver
from zope.interface import implementer, provider

from stages.web.sources.addresses import Network, networks, permitted


@implementer(IHostnameResolver)
class CheckedResolver:
    """Resolves names to those of their addresses that may be connected to; connections go to what it gives."""

    def __init__(self, reactor: Any, allowed: tuple[Network, ...]) -> None:
        self._reactor, self._allowed = reactor, allowed
        self._resolver = reactor.nameResolver

    @classmethod
    def from_crawler(cls, crawler: Any, reactor: Any) -> "CheckedResolver":
        """Scrapy's way to make a resolver."""
        return cls(reactor, networks(crawler.settings.getlist("ALLOW_PRIVATE")))

    def install_on_reactor(self) -> None:
        """Resolve every name of this process."""
        self._reactor.installNameResolver(self)

    def resolveHostName(self, receiver: Any, name: str, *arguments: Any, **settings: Any) -> Any:  # noqa: N802
        """See ``IHostnameResolver``; Twisted asks for literal addresses too."""
        return self._resolver.resolveHostName(_Checked(receiver, self._allowed), name, *arguments, **settings)


@provider(IResolutionReceiver)
class _Checked:
    def __init__(self, receiver: Any, allowed: tuple[Network, ...]) -> None:
        self._receiver, self._allowed = receiver, allowed
        self.resolutionBegan = receiver.resolutionBegan
        self.resolutionComplete = receiver.resolutionComplete

    def addressResolved(self, address: IAddress) -> None:  # noqa: N802
        """Pass on what is permitted; where nothing is, the name counts as unknown."""
        if permitted(address.host, self._allowed):
            self._receiver.addressResolved(address)
