"""Which addresses may be connected to: the public ones, and those that a parameter names.

A name is resolved once, what it resolves to is checked, and the connection goes to the address that was checked: no
redirect and no second answer of a name server leads into a private network.
"""

import ipaddress
from collections.abc import Sequence

from stages.core.errors import HeadwaterError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


def networks(named: Sequence[str]) -> tuple[Network, ...]:
    """The networks that ``crawl.allow_private`` names.

    Raises:
        HeadwaterError: one of them is no network.
    """
    try:
        return tuple(ipaddress.ip_network(name) for name in named)
    except ValueError as error:
        raise HeadwaterError(f"params.yaml: crawl.allow_private: {error}; write 127.0.0.0/8 or ::1/128") from None


def permitted(address: str, allowed: Sequence[Network]) -> bool:
    """Whether ``address`` may be connected to: it is public, or in one of ``allowed``."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    carried = _carried(parsed)
    if any(one in network for one in (parsed, *carried) for network in allowed):
        return True
    return all(one.is_global and not one.is_multicast for one in (parsed, *carried))


def _carried(address: Address) -> list[Address]:
    """The IPv4 addresses inside an IPv6 one, to which a gateway would pass on what is sent."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    carried: list[Address] = [one for one in (address.ipv4_mapped, address.sixtofour) if one is not None]
    carried += address.teredo or ()
    if address in _NAT64:
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return carried
