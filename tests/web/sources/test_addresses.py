import pytest

from stages.core.errors import HeadwaterError
from stages.web.sources.addresses import networks, permitted


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1",
        "2002:7f00:1::", "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused_unless_named(address: str) -> None:
    assert not permitted(address, ())
    assert not permitted(address, networks(["203.0.113.0/24"]))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_permitted(address: str) -> None:
    assert permitted(address, ())


def test_named_networks_are_permitted_in_either_form() -> None:
    allowed = networks(["127.0.0.0/8", "fd00::/8"])
    assert permitted("127.0.0.1", allowed)
    assert permitted("::ffff:127.0.0.1", allowed)
    assert permitted("fd00::5", allowed)
    with pytest.raises(HeadwaterError, match=r"crawl\.allow_private: 'loopback' does not appear"):
        networks(["loopback"])
