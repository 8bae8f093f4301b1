"""Digests as the writers of archives state them: warcio in base 32, others in base 16, Browsertrix by SHA-256."""

import pytest

from stages.web.sources import captures

EMPTY = b""


@pytest.mark.parametrize(
    ("stated", "right"),
    [
        ("sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ", True),
        ("SHA1:3i42h3s6nnfq2msvx7xzkyayscx5qbyj", True),
        ("sha-1:da39a3ee5e6b4b0d3255bfef95601890afd80709", True),
        ("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", True),
        ("sha256:4OYMIQUY7QOBJGX36TEJS35ZEQT24QPEMSNZGTFESWMRW6CSXBKQ====", True),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", True),
        ("sha1:da39a3ee5e6b4b0d3255bfef95601890afd80700", False),
        ("sha256:", False),
        ("crc32:00000000", None),
        ("", None),
    ],
)
def test_digests_in_every_spelling(stated: str, right: bool | None) -> None:
    assert captures.agrees(stated, EMPTY) is right
